package scan_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"chartcellar/store/scan"
)

// crowd is a root with many members; compared pairwise they would take minutes.
func crowd(last string) []byte {
	var b strings.Builder
	b.WriteString(`{"resourceType":"X","id":"a"`)
	for i := range 400_000 {
		fmt.Fprintf(&b, `,"%x":0`, i)
	}
	b.WriteString(last + `}`)
	return []byte(b.String())
}

func TestManyMembers(t *testing.T) {
	s := scan.New(key)
	if _, err := s.Facts(crowd("")); err != nil {
		t.Errorf("Facts of many members = %v, want none", err)
	}
	for _, last := range []string{`,"0":1`, `,"30000":1`, `,"\u0030":1`, `,"id":"b"`} {
		if _, err := s.Facts(crowd(last)); !errors.Is(err, scan.ErrDuplicateKey) {
			t.Errorf("Facts of many members and %s = %v, want a duplicate", last, err)
		}
	}
	for n := 55; n < 75; n++ { // around the number up to which names are compared as they come
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"n%d":0,`, i)
		}
		check(t, s, []byte(with(b.String()+`"x":1`)))
		check(t, s, []byte(with(b.String()+fmt.Sprintf(`"n%d":1`, n-1))))
		check(t, s, []byte(with(`"meta":{`+b.String()+`"n0":1}`)))
	}
}

// TestBlanks is a line that is mostly white space: the fingerprint is that of the
// compact line, and the scanner keeps no list of a million blanks.
func TestBlanks(t *testing.T) {
	const meta = `"meta":{ "versionId" : "1" , "profile" : [ "p \\\" " ] , "lastUpdated" : "z" } `
	for _, n := range []int{10, 2000, 2050, 20_000, 300_000} {
		many := `"x" : [ ` + strings.Repeat(`"a \\" , `, n) + `1 ]`
		photo := `"photo" : [ { "url" : "u?\" \\?" , "title" : "a  b" } ]`
		for _, line := range []string{
			with(many + `,` + meta + `, ` + photo), with(meta + `,` + many + ` , ` + photo),
			with(photo + `,` + meta + `,` + many),
		} {
			s := scan.New(key)
			check(t, s, []byte(line))
		}
	}
	line := []byte(with(`"x":[` + strings.Repeat("1 , ", 2<<20) + `1]`))
	s := scan.New(key)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := s.Line(line); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("a line of %d bytes took %d bytes of memory, want at most 1 MiB", len(line), used)
	}
}

func TestDeepest(t *testing.T) {
	s := scan.New(key)
	for n := scan.MaxDepth - 3; n < scan.MaxDepth+3; n++ {
		check(t, s, []byte(with(`"x":`+strings.Repeat("[", n)+strings.Repeat("]", n))))
		check(t, s, []byte(with(`"photo":`+strings.Repeat(`{"photo":`, n)+"1"+strings.Repeat("}", n))))
		check(t, s, []byte(with(`"meta":{"tag":`+strings.Repeat("[", n)+strings.Repeat("]", n)+`}`)))
		check(t, s, []byte(strings.Repeat("[", n)+strings.Repeat("]", n)))
	}
}

func TestSyntaxErrorOffset(t *testing.T) {
	for line, want := range map[string]int{
		`{"resourceType":"X","id":"a"} {`: 30, `[1,x]`: 3, `{"secret":tru}`: 10, `{"a":1`: 6,
		"{\"a\":\"b\x01\"}": 7, `{"a":"\q"}`: 6, ``: 0,
	} {
		_, err := scan.New(key).Facts([]byte(line))
		var syntax *scan.SyntaxError
		if !errors.As(err, &syntax) || syntax.Offset != want {
			t.Errorf("Facts(%q) = %v, want an offset of %d", line, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error quotes the line: %v", err)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	s, line := scan.New(key), sample()
	stamp := []byte("2026-01-02T03:04:05.678+01:00")
	if n := testing.AllocsPerRun(100, func() {
		if _, err := s.Line(line); err != nil {
			t.Fatal(err)
		}
		scan.LastUpdatedMillis(stamp)
	}); n != 0 {
		t.Errorf("a common line takes %v allocations, want 0", n)
	}
}

// TestReuse scans lines one after the other: nothing of one shows in the next.
func TestReuse(t *testing.T) {
	s := scan.New(key)
	lines := append([]string{with(`"meta":{"versionId":"1","tag":[{"code":"SUBSETTED"}]},` +
		`"subject":{"reference":"Patient/1"}`), `{"a"`, `{"id":"b"}`, `{"resourceType":"X","id":"c"}`,
		with(`"x":[` + strings.Repeat("1 , ", 5000) + `1]`)}, different...)
	for range 2 {
		for _, line := range lines {
			check(t, s, []byte(line))
		}
	}
}
