package chart_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/chart"
)

// jsonValue draws any JSON value.
func jsonValue(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		kinds := 5
		if depth > 0 {
			kinds = 7
		}
		switch rapid.IntRange(0, kinds-1).Draw(t, "kind") {
		case 0:
			return rapid.SampledFrom([]string{"", "a", "final", "ö", "王", "a b"}).Draw(t, "text")
		case 1:
			return json.Number(rapid.SampledFrom([]string{"1", "1.0", "1.00", "-0", "1E-10", "12345678901234567890"}).Draw(t, "number"))
		case 2:
			return rapid.Bool().Draw(t, "bool")
		case 3:
			return nil
		case 4:
			return rapid.StringMatching(`[a-z]{1,3}`).Draw(t, "word")
		case 5:
			return rapid.SliceOfN(jsonValue(depth-1), 0, 4).Draw(t, "list")
		}
		return jsonObject(depth-1).Draw(t, "object")
	})
}

func jsonObject(depth int) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) any {
		m := map[string]any{}
		for range rapid.IntRange(0, 4).Draw(t, "members") {
			name := rapid.SampledFrom([]string{"id", "url", "code", "system", "value", "text", "div", "birthDate", "coding", "name", "use", "data"}).Draw(t, "name")
			m[name] = jsonValue(depth).Draw(t, name)
		}
		return m
	})
}

func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSpace(b.Bytes())
}

// leaves counts the values that have nothing below them, and lists what they say.
func leaves(v any, to *[]string) {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			*to = append(*to, "(empty)")
		}
		for _, k := range v {
			leaves(k, to)
		}
	case []any:
		if len(v) == 0 {
			*to = append(*to, "(empty)")
		}
		for _, k := range v {
			leaves(k, to)
		}
	case nil:
		*to = append(*to, "(null)")
	case string:
		if v == "" {
			v = "(empty text)"
		}
		*to = append(*to, v)
	default:
		*to = append(*to, fmt.Sprint(v))
	}
}

// TestCardDropsNothing: as many lines as leaves, and each leaf's text among them,
// as often as in the record.
func TestCardDropsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := jsonObject(4).Draw(t, "record")
		lines, err := chart.Card(encode(v))
		if err != nil {
			t.Fatalf("Card = %v", err)
		}
		var want []string
		leaves(v, &want)
		count := map[string]int{}
		for _, w := range want {
			count[w]++
		}
		for _, l := range lines {
			count[l.Value]--
			if l.Path == "" && len(want) > 1 {
				t.Fatalf("a line without a path: %q", l.Value)
			}
		}
		for w, n := range count {
			if n != 0 {
				t.Fatalf("%q stands %d times too few", w, n)
			}
		}
	})
}

// TestNarrative: what a record has for reading keeps its form, and nothing that does something.
func TestNarrative(t *testing.T) {
	for _, tt := range []struct{ record, want string }{
		{`{"text":{"div":"<div onclick=\"x\"><b>Good</b> <img src=\"https://evil.example\"/>day<script>x()</script></div>"}}`, "<div><b>Good</b> [picture]day</div>"},
		{`{"text":"no narrative"}`, ""},
		{`{"text":{"div":7}}`, ""},
		{`["a"]`, ""},
		{`{`, ""},
	} {
		if got := chart.Narrative([]byte(tt.record)).HTML(); got != tt.want {
			t.Errorf("Narrative(%s) = %q, want %q", tt.record, got, tt.want)
		}
	}
}

func TestCard(t *testing.T) {
	tests := []struct{ name, record, want string }{
		{"in order, with words for paths", `{"resourceType":"Patient","birthDate":"1970","name":[{"given":["A","B"]}]}`,
			"resource type=Patient; birth date=1970; name › given 1=A; name › given 2=B"},
		{"decimals as written", `{"v":1.00,"w":1.0E-10}`, "v=1.00; w=1.0E-10"},
		{"a member that stands twice", `{"a":1,"a":2}`, "a=1; a (again)=2"},
		{"what is said about a member", `{"_birthDate":{"extension":[{"url":"u"}]}}`, "birth date (about it) › extension › url=u"},
		{"narrative as text", `{"text":{"div":"<div><p>Hello &amp; <b>good</b>bye</p><script>x()</script><p>2 &lt; 3</p></div>"}}`,
			"text › div=Hello & goodbye\n\n2 < 3"},
		{"control characters and bidi overrides", `{"a":"\u001b[2Jx\u202Ey\u0007\r\n\u009b"}`, "a=␛[2Jx[U+202E]y␇\n[U+009B]"},
		{"right-to-left names stay", `{"a":"حداد, ليلى"}`, "a=حداد, ليلى"},
		{"control characters in a name of a member", `{"a\u001b":1}`, "a␛=1"},
		{"long data is measured", `{"data":"` + strings.Repeat("AAAA", 100) + `"}`, "data=(300 bytes, not shown here)"},
		{"data in lines and without padding is measured", `{"data":"` + strings.Repeat(`AAAA\n`, 100) + `AAA"}`, "data=(302 bytes, not shown here)"},
		{"data that is none is shown", `{"data":"` + strings.Repeat("?", 201) + `"}`, "data=" + strings.Repeat("?", 201)},
		{"lists in lists", `{"a":[[1,2],[3]]}`, "a 1 1=1; a 1 2=2; a 2=3"},
		{"nothing at all", `{}`, "=(empty)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			lines, err := chart.Card([]byte(tt.record))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, l := range lines {
				got = append(got, l.Path+"="+l.Value)
			}
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("Card = %q, want %q", s, tt.want)
			}
		})
	}
	for _, bad := range []string{"", "{", `{"a":}`, `{}{}`} {
		if _, err := chart.Card([]byte(bad)); err == nil {
			t.Errorf("Card(%q) gave no error", bad)
		}
	}
}

// TestDiffIsEmptyIfEqual: there is no difference if, and only if, both say the same.
func TestDiffIsEmptyIfEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := jsonObject(3).Draw(t, "a")
		b := jsonObject(3).Draw(t, "b")
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			b = change(t, a)
		case 1:
			b = a
		}
		list, err := chart.Diff(encode(a), encode(b))
		if err != nil {
			t.Fatal(err)
		}
		if (len(list) == 0) != reflect.DeepEqual(normal(a), normal(b)) {
			t.Fatalf("%s -> %s: %v", encode(a), encode(b), list)
		}
		back, err := chart.Diff(encode(b), encode(a))
		if err != nil || (len(back) == 0) != (len(list) == 0) {
			t.Fatalf("the other way: %v, %v", back, err)
		}
	})
}

// normal reads a value back, so that kinds of Go do not matter.
func normal(v any) (out any) {
	d := json.NewDecoder(bytes.NewReader(encode(v)))
	d.UseNumber()
	if err := d.Decode(&out); err != nil {
		panic(err)
	}
	return out
}

// change turns two elements of the first list around, or adds a member.
func change(t *rapid.T, v any) any {
	out := normal(v).(map[string]any)
	for _, m := range out {
		if list, ok := m.([]any); ok && len(list) > 1 {
			list[0], list[1] = list[1], list[0]
			return out
		}
	}
	out["more"] = jsonValue(1).Draw(t, "more")
	return out
}

func TestDiff(t *testing.T) {
	tests := []struct{ name, older, newer, want string }{
		{"a value", `{"status":"final"}`, `{"status":"corrected"}`, "status: final -> corrected"},
		{"a note is added", `{"a":1}`, `{"a":1,"note":[{"text":"see\nletter"}]}`, "added note › text: see ⏎ letter"},
		{"an element in the middle goes", `{"l":[{"id":"a","v":1},{"id":"b","v":2},{"id":"c","v":3}]}`, `{"l":[{"id":"a","v":1},{"id":"c","v":4}]}`,
			"l 2 › v: 3 -> 4; removed l 2 › id: b; removed l 2 › v: 2"},
		{"only the order", `{"l":["a","b"]}`, `{"l":["b","a"]}`, "l: the same elements in another order"},
		{"digits count", `{"v":1.0}`, `{"v":1.00}`, "v: 1.0 -> 1.00"},
		{"a number becomes a text", `{"v":1}`, `{"v":"1"}`, "v: 1 (number) -> 1 (text, other bytes)"},
		{"data of the same length", `{"data":"` + strings.Repeat("AAAA", 60) + `"}`, `{"data":"` + strings.Repeat("BBBB", 60) + `"}`,
			"data: (180 bytes, not shown here) (text) -> (180 bytes, not shown here) (text, other bytes)"},
		{"a value becomes an object", `{"v":1}`, `{"v":{"x":2}}`, "removed v: 1; added v › x: 2"},
		{"the order of members does not count", `{"a":1,"b":2}`, `{"b":2,"a":1}`, ""},
		{"codes are paired by what they are", `{"c":{"coding":[{"system":"s","code":"1","display":"x"},{"system":"s","code":"2","display":"y"}]}}`,
			`{"c":{"coding":[{"system":"s","code":"2","display":"Y"},{"system":"s","code":"1","display":"x"}]}}`,
			"c › coding 1 › display: y -> Y; c › coding: the same elements in another order"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			list, err := chart.Diff([]byte(tt.older), []byte(tt.newer))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range list {
				got = append(got, c.String())
			}
			if s := strings.Join(got, "; "); s != tt.want {
				t.Errorf("Diff = %q, want %q", s, tt.want)
			}
		})
	}
}

func TestSaidFirst(t *testing.T) {
	list, err := chart.Diff([]byte(`{"meta":{"versionId":"1","tag":[{"code":"a"}]},"metadata":1,"status":"final"}`),
		[]byte(`{"meta":{"versionId":"2","tag":[{"code":"b"}]},"metadata":2,"status":"amended"}`))
	if err != nil {
		t.Fatal(err)
	}
	chart.SaidFirst(list)
	var got []string
	for _, c := range list {
		got = append(got, fmt.Sprint(c.Path, " ", c.Bookkeeping()))
	}
	if s := strings.Join(got, "; "); s != "metadata false; status false; meta › version id true; meta › tag › code true; meta › tag › code true" {
		t.Errorf("SaidFirst = %s", s)
	}
}
