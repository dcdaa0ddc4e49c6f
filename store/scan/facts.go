package scan

import (
	"bytes"
	"encoding/json"
	"time"
)

// text returns the content of a string; nil if the span is no string.
func (s *Scanner) text(v span) []byte {
	if v.to-v.from < 2 || s.b[v.from] != '"' {
		return nil
	}
	return unescaped(s.b[v.from:v.to])
}

// unescaped returns the content of a JSON string that is known to be valid; half
// a surrogate pair becomes U+FFFD, as everywhere in Go.
func unescaped(quoted []byte) []byte {
	in := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return in
	}
	var out string
	if json.Unmarshal(quoted, &out) != nil {
		return in // not reached: str has checked it
	}
	return []byte(out)
}

// find returns the value of the first member of that name of the object at i,
// which is known to be valid; the zero span if there is none.
func (s *Scanner) find(i int, name string) span {
	b := s.b
	defer s.quietly()()
	for i = s.space(i + 1); b[i] == '"'; {
		end, _ := s.str(i + 1)
		from := s.space(s.space(end) + 1)
		to, _ := s.value(from, 0, false)
		if string(s.text(span{i, end})) == name {
			return span{from, to}
		}
		if i = s.space(to); b[i] == ',' {
			i = s.space(i + 1)
		}
	}
	return span{}
}

// quietly returns what forgets the notes that are taken from now on: for
// looking at a part of the line again.
func (s *Scanner) quietly() func() {
	cuts, links, refs := len(s.cuts), len(s.links), len(s.refs)
	return func() { s.cuts, s.links, s.refs = s.cuts[:cuts], s.links[:links], s.refs[:refs] }
}

// each calls yes with the place of the object at i, or of every object in the
// array at i, until yes returns true.
func (s *Scanner) each(i int, yes func(i int) bool) {
	if s.b[i] == '{' {
		yes(i)
		return
	}
	if s.b[i] != '[' {
		return
	}
	defer s.quietly()()
	for i = s.space(i + 1); s.b[i] != ']'; {
		if s.b[i] == '{' && yes(i) {
			return
		}
		i, _ = s.value(i, 0, false)
		if i = s.space(i); s.b[i] == ',' {
			i = s.space(i + 1)
		}
	}
}

// subsetted looks in meta.tag for the code that says that elements were left out.
func (s *Scanner) subsetted() (found bool) {
	tag := s.meta.at[keyTag]
	if tag.to == 0 {
		return false
	}
	s.each(tag.from, func(i int) bool {
		found = string(s.text(s.find(i, "code"))) == "SUBSETTED"
		return found
	})
	return found
}

// patient finds the patient among the noted members.
func (s *Scanner) patient() (id []byte) {
	for key := keyPatient; key <= keySource && id == nil; key++ {
		v := s.root.at[key]
		if v.to == 0 {
			continue
		}
		s.each(v.from, func(i int) bool {
			id = s.reference(i, key == keyParticipant)
			return id != nil
		})
	}
	return id
}

// plainReference is how nearly every Reference begins.
const plainReference = `{"reference":"`

// reference returns the patient that the Reference at i names; nested looks at
// the Reference that is its member actor instead.
func (s *Scanner) reference(i int, nested bool) []byte {
	if nested {
		actor := s.find(i, "actor")
		if actor.to == 0 || s.b[actor.from] != '{' {
			return nil
		}
		i = actor.from
	}
	if from := i + len(plainReference); bytes.HasPrefix(s.b[i:], []byte(plainReference)) {
		to, _ := s.str(from)
		return patientID(s.text(span{from - 1, to})) // the common case of find
	}
	return patientID(s.text(s.find(i, "reference")))
}

// patientID returns the id in a reference to a Patient: Patient/id, also
// absolute, also with /_history/version; nil for anything else.
func patientID(ref []byte) []byte {
	if _, typ, id, ok := SplitReference(ref); ok && string(typ) == "Patient" {
		return id
	}
	return nil
}

// instants are the forms of an instant that servers write.
var instants = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02"}

// maxInstant bounds what is tried to be read as an instant.
const maxInstant = 64

// LastUpdatedMillis reads meta.lastUpdated as Unix milliseconds, rounded down;
// without an offset it is taken as UTC, and a leap second (FHIR allows :60) is
// the first second of the next minute. ok is false if it cannot be read.
func LastUpdatedMillis(b []byte) (ms int64, ok bool) {
	if len(b) == 0 || len(b) > maxInstant {
		return 0, false
	}
	const second = len("2006-01-02T15:04:") // time.Parse knows no 60
	if len(b) >= second+2 && string(b[second:second+2]) == "60" {
		var early [maxInstant]byte
		copy(early[:], b)
		copy(early[second:], "59")
		ms, ok = lastUpdatedMillis(string(early[:len(b)]))
		return ms + 1000, ok
	}
	return lastUpdatedMillis(string(b))
}

func lastUpdatedMillis(text string) (ms int64, ok bool) {
	for _, layout := range instants {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}
