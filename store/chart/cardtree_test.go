package chart_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/chart"
)

// values lists what the values of a tree say, sorted, and checks that headings count them.
func values(t rapid.TB, list []chart.Branch) []string {
	var out []string
	for _, b := range list {
		if b.Kids == nil {
			out = append(out, b.Value)
			if b.Leaves != 1 {
				t.Errorf("the value %q counts as %d", b.Value, b.Leaves)
			}
			continue
		}
		below := values(t, b.Kids)
		if len(below) != b.Leaves {
			t.Errorf("%s says that %d values are below it; there are %d", b.Name, b.Leaves, len(below))
		}
		out = append(out, below...)
	}
	slices.Sort(out)
	return out
}

// cardValues lists what the lines of a card say, sorted.
func cardValues(t rapid.TB, raw []byte) []string {
	lines, err := chart.Card(raw)
	if err != nil {
		t.Fatalf("Card = %v", err)
	}
	var out []string
	for _, l := range lines {
		out = append(out, l.Value)
	}
	slices.Sort(out)
	return out
}

func tree(t rapid.TB, raw []byte) []chart.Branch {
	list, err := chart.CardTree(raw)
	if err != nil {
		t.Fatalf("CardTree = %v", err)
	}
	return list
}

// TestCardTreeDropsNothing: each leaf of any JSON is a value of the tree.
func TestCardTreeDropsNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var v any = jsonObject(4).Draw(t, "record")
		for range rapid.SampledFrom([]int{0, 3, 20}).Draw(t, "deeper") {
			v = map[string]any{"extension": []any{v, map[string]any{"url": "u"}}}
		}
		raw := encode(v)
		var want []string
		leaves(v, &want)
		slices.Sort(want)
		if got := values(t, tree(t, raw)); !slices.Equal(got, want) {
			t.Fatalf("%s\nshows %q\nwant  %q", raw, got, want)
		}
	})
}

// TestCardTreeOfPractices: so it is of every record of the practices that lie beside
// the project, where they do, and of one record of each awkward kind. Their leaves are
// read by another decoder.
func TestCardTreeOfPractices(t *testing.T) {
	if testing.Short() {
		t.Skip("many records")
	}
	t.Parallel()
	for _, name := range practices(t) {
		t.Run(filepath.Base(filepath.Dir(name))+"/"+filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			showsFile(t, name)
		})
	}
	for _, line := range awkward {
		showsAll(t, []byte(line))
		if got, card := values(t, tree(t, []byte(line))), cardValues(t, []byte(line)); !slices.Equal(got, card) {
			t.Errorf("%s: the tree shows %q, the card %q", line, got, card)
		}
	}
}

func showsFile(t *testing.T, name string) {
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReaderSize(z, 1<<20)
	for n := 0; ; n++ {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF && n > 0 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		showsAll(t, line)
	}
}

var awkward = []string{patient,
	`{"resourceType":"Observation","id":"o","valueQuantity":{"value":1.10,"comparator":"<","unit":"mg"},"_status":{"extension":[{"url":"u","valueCode":"unknown"}]}}`,
	`{"resourceType":"Horoscope","sign":[[{"a":[]},null],{}],"note":"` + "\u202e" + `حداد"}`,
	`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o1","name":"王"}],"managingOrganization":{"reference":"#o1"}}`}

func showsAll(t *testing.T, line []byte) {
	t.Helper()
	var v any
	d := json.NewDecoder(strings.NewReader(string(line)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	var want []string
	leaves(v, &want)
	got := values(t, tree(t, line))
	if len(got) != len(want) {
		t.Errorf("%.60s: %d values shown of %d", line, len(got), len(want))
	}
	shown := map[string]bool{}
	for _, s := range got {
		shown[s] = true
	}
	for _, w := range want {
		if !shown[chart.Clean(w)] && !strings.HasPrefix(w, "<") && len(w) < 200 {
			t.Errorf("%.60s: %q is not shown", line, w)
		}
	}
}

// practices returns the files of the practices beside the project.
func practices(t *testing.T) []string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		dir = filepath.Dir(dir)
		if list, err := filepath.Glob(filepath.Join(dir, "shared", "data", "practice-*", "*.ndjson.gz")); err == nil && len(list) > 0 {
			return list
		}
	}
	return nil
}

// treeText writes a tree: one branch a line, indented.
func treeText(list []chart.Branch, indent string) string {
	var b strings.Builder
	for _, k := range list {
		fmt.Fprintf(&b, "%s%s", indent, k.Name)
		if k.Value != "" {
			fmt.Fprintf(&b, "=%s", k.Value)
		}
		if k.Note != "" {
			fmt.Fprintf(&b, " {%s}", k.Note)
		}
		if k.Inside > 0 {
			fmt.Fprintf(&b, " inside %d", k.Inside)
		}
		if l := k.Link; l != nil {
			fmt.Fprintf(&b, " -> %s/%s %s %d", l.Type, l.ID, l.Version, l.Inside)
		}
		if k.Fold {
			b.WriteString(" folded")
		}
		b.WriteString("\n" + treeText(k.Kids, indent+"  "))
	}
	return b.String()
}

func TestCardTree(t *testing.T) {
	ext := `{"url":"http://example.org/fhir/StructureDefinition/huge","extension":[` + strings.Repeat(`{"url":"a","valueInteger":1},`, 20) + `{"url":"b"}]}`
	tests := []struct{ name, record, want string }{
		{"codes with the names of their systems", `{"code":{"coding":[{"system":"http://loinc.org","code":"4548-4","display":"HbA1c"}]}}`,
			"code {HbA1c (LOINC 4548-4)}\n  coding {HbA1c (LOINC 4548-4)}\n    system=http://loinc.org {LOINC}\n    code=4548-4\n    display=HbA1c\n"},
		{"one of several has a number", `{"name":[{"given":["A","B"]},{"text":"C"}]}`,
			"name\n  1\n    given\n      1=A\n      2=B\n  2\n    text=C\n"},
		{"a value with its unit", `{"valueQuantity":{"value":1.10,"comparator":"<","unit":"mg"}}`,
			"value quantity {<1.10 mg}\n  value=1.10\n  comparator=<\n  unit=mg\n"},
		{"a reference to a version", `{"subject":{"reference":"https://emr.example/fhir/Patient/1/_history/2"}}`,
			"subject\n  reference=https://emr.example/fhir/Patient/1/_history/2 -> Patient/1 2 0\n"},
		{"a contained record", `{"contained":[{"id":"a","resourceType":"Medication"},{"id":"b"}],"r":{"reference":"#b"}}`,
			"contained\n  1 {Medication} inside 1\n    id=a\n    resource type=Medication\n  2 inside 2\n    id=b\nr\n  reference=#b -> /  2\n"},
		{"the only contained record", `{"contained":[{"id":"a"}],"r":{"reference":"#a"},"s":{"reference":"#gone"}}`,
			"contained inside 1\n  id=a\nr\n  reference=#a -> /  1\ns\n  reference=#gone -> /  0\n"},
		{"a file that lies in a Binary", `{"attachment":{"url":"Binary/7"},"extension":[{"url":"http://x/StructureDefinition/y"}]}`,
			"attachment {7}\n  url=Binary/7 -> Binary/7  0\nextension {y}\n  url=http://x/StructureDefinition/y\n"},
		{"no reference", `{"reference":["a"],"x":{"reference":7},"y":{"reference":"urn:uuid:1"},"z":{"reference":"javascript:alert(1)"}}`,
			"reference=a -> /  0\nx\n  reference=7\ny\n  reference=urn:uuid:1 -> /  0\nz\n  reference=javascript:alert(1) -> /  0\n"},
		{"what it is about comes first", `{"resourceType":"Condition","id":"a","meta":{"versionId":"1"},"code":{"text":"Gout","id":"b"},"language":"en","onset":"2019"}`,
			"code\n  text=Gout\n  id=b\nonset=2019\nresource type=Condition\nid=a\nmeta\n  version id=1\nlanguage=en\n"},
		{"an empty record", `{}`, "record=(empty)\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := treeText(tree(t, []byte(tt.record)), ""); got != tt.want {
				t.Errorf("CardTree =\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
	folded := treeText(tree(t, []byte(`{"extension":[`+ext+`,{"url":"small"}],"note":"`+strings.Repeat("long ", 1000)+`"}`)), "")
	if n := strings.Count(folded, "folded"); n != 2 {
		t.Errorf("%d folded branches, want 2", n)
	}
	for _, want := range []string{"  1 {huge} folded\n", "  2 {small}\n", "long  folded\n"} {
		if !strings.Contains(folded, want) {
			t.Errorf("no %q in\n%.300s", want, folded)
		}
	}
	many := treeText(tree(t, []byte(`{"extension":[`+strings.Repeat(`{"url":"u","valueCode":"c"},`, 40)+`{"url":"v"}],"l":[`+strings.Repeat(`{"u":1},`, 80)+`1]}`)), "")
	if !strings.Contains(many, "extension folded\n") || strings.Count(many, "folded") != 1 {
		t.Errorf("of many small extensions and a list of values is folded:\n%s", many)
	}
	if _, err := chart.CardTree([]byte(`{"a":`)); err == nil {
		t.Error("half a record gave no error")
	}
}

// TestCardTreeIsNotDeep: a record that is very deep makes no deep page.
func TestCardTreeIsNotDeep(t *testing.T) {
	raw := `{"v":7,"w":8}`
	for range 3000 {
		raw = `{"u":1,"x":` + raw + `}`
	}
	var depth func([]chart.Branch) int
	depth = func(list []chart.Branch) int {
		most := 0
		for _, b := range list {
			most = max(most, 1+depth(b.Kids))
		}
		return most
	}
	list := tree(t, []byte(raw))
	if d := depth(list); d > 20 {
		t.Errorf("%d headings in each other", d)
	}
	if n := len(values(t, list)); n != 3002 {
		t.Errorf("%d values, want 3002", n)
	}
}
