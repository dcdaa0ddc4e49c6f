package scan_test

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/store/scan"
)

func show(f scan.Facts) string {
	return fmt.Sprintf("type %q id %q version %q updated %q patient %q subsetted %v %x",
		f.Type, f.ID, f.VersionID, f.LastUpdated, f.Patient, f.Subsetted, f.Fingerprint)
}

var (
	someNames = strings.Fields(`"meta" "versionId" "lastUpdated" "tag" "code" "url" "attachment"
		"photo" "content" "subject" "patient" "reference" "participant" "actor" "target" "source"
		"id" "resourceType" "\u006deta" "version\u0049d" "ph\u006fto" "u\u0072l" "URL" "Meta" "" "x"
		"r\u0065ference" "a\"b" "extension" "ID" "\ud800"`)
	someScalars = strings.Fields(`"Patient/7" "Patient\/7" "https://h/b/Patient/8/_history/2" "a"
		"Patient?x=1" "#Patient/9" "urn:uuid:1" "VetPatient/1" "Patient/" "Patient/1/2" "SUBSETTED"
		"SUBSETT\u0045D" "https://s/b?sig=1" "u?\"?" "\\?" "\u003f" "?" "" "\ud83d\ude00" "\ud800"
		"é\u2028" "` + "\u2028" + `" 0 -0 1.10 1e400 12345678901234567890 true false null`)
	blanks = []string{"", "", "", "", " ", "\n\t", "\r"}
)

// A writer draws texts that look like resources.
type writer struct {
	t *rapid.T
	b strings.Builder
}

func (w *writer) pick(from []string) { w.b.WriteString(rapid.SampledFrom(from).Draw(w.t, "text")) }

func (w *writer) blank() { w.pick(blanks) }

func (w *writer) value(depth int) {
	kind := rapid.IntRange(0, 5).Draw(w.t, "kind")
	switch {
	case depth > 4 || kind < 3:
		w.pick(someScalars)
	case kind == 3:
		w.list('[', ']', func() { w.value(depth + 1) })
	default:
		w.list('{', '}', func() {
			w.pick(someNames)
			w.blank()
			w.b.WriteByte(':')
			w.blank()
			w.value(depth + 1)
		})
	}
}

func (w *writer) list(open, end byte, one func()) {
	w.b.WriteByte(open)
	w.blank()
	for i := range rapid.IntRange(0, 4).Draw(w.t, "length") {
		if i > 0 {
			w.b.WriteByte(',')
			w.blank()
		}
		one()
		w.blank()
	}
	w.b.WriteByte(end)
}

// resource draws an object with some of the root's members, each once.
func (w *writer) resource() {
	members := []string{`"resourceType":"X"`, `"id":"a"`}
	for _, name := range rapid.Permutation(someNames).Draw(w.t, "names")[:4] {
		if name == `"id"` || name == `"resourceType"` || name == `"\u006deta"` {
			continue
		}
		v := &writer{t: w.t}
		v.value(1)
		members = append(members, name+":"+v.b.String())
	}
	members = rapid.Permutation(members).Draw(w.t, "members")
	w.b.WriteByte('{')
	for i, m := range members {
		if i > 0 {
			w.b.WriteByte(',')
		}
		w.blank()
		w.b.WriteString(m)
		w.blank()
	}
	w.b.WriteByte('}')
}

// TestOracle compares the scanner with the slow reading of encoding/json on texts
// of which some are broken at one place.
func TestOracle(t *testing.T) {
	s := scan.New(key)
	rapid.Check(t, func(t *rapid.T) {
		w := &writer{t: t}
		if rapid.IntRange(0, 4).Draw(t, "any") == 0 {
			w.value(0)
		} else {
			w.resource()
		}
		line := []byte(w.b.String())
		if rapid.IntRange(0, 3).Draw(t, "break") == 0 {
			at := rapid.IntRange(0, len(line)-1).Draw(t, "at")
			switch rapid.IntRange(0, 2).Draw(t, "how") {
			case 0:
				line[at] = rapid.Byte().Draw(t, "byte")
			case 1:
				line = line[:at]
			case 2:
				line = append(line[:at:at], line[at+1:]...)
			}
		}
		check(t, s, line)
	})
}
