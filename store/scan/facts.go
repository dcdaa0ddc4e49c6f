package scan

import (
	"bytes"
	"encoding/json"
	"time"
)

// unquote decodes a JSON string that is known to be valid.
func unquote(quoted []byte) []byte {
	var out string
	if json.Unmarshal(quoted, &out) != nil {
		return quoted // not reached: str has checked it
	}
	return []byte(out)
}

// patient finds the patient among the noted members.
func (s *Scanner) patient() []byte {
	for key := keyPatient; key <= keySource; key++ {
		v := s.root.at[key]
		if v.to == 0 || !bytes.Contains(s.b[v.from:v.to], []byte("Patient")) {
			continue
		}
		if id := s.patientIn(v.from, key == keyParticipant); id != nil {
			return id
		}
	}
	return nil
}

// patientIn returns the patient named by the Reference at i or by the first
// of the list there; nested looks at the member actor of each instead.
func (s *Scanner) patientIn(i int, nested bool) []byte {
	if s.b[i] == '{' {
		return s.reference(i, nested)
	}
	if s.b[i] != '[' {
		return nil
	}
	cuts := len(s.cuts)
	defer func() { s.cuts = s.cuts[:cuts] }()
	for i = s.space(i + 1); s.b[i] == '{'; {
		if id := s.reference(i, nested); id != nil {
			return id
		}
		i, _ = s.value(i, 0, false)
		if i = s.space(i); s.b[i] == ',' {
			i = s.space(i + 1)
		}
	}
	return nil
}

// reference returns the patient that the object at i refers to.
func (s *Scanner) reference(i int, nested bool) []byte {
	if nested {
		actor := s.find(i, "actor")
		if actor.to == 0 || s.b[actor.from] != '{' {
			return nil
		}
		i = actor.from
	}
	return patientID(s.text(s.find(i, "reference")))
}

// patientID returns the id in a reference to a Patient: Patient/id, also
// absolute, also with /_history/version; nil for anything else.
func patientID(ref []byte) []byte {
	if bytes.ContainsAny(ref, "?#") {
		return nil
	}
	ref, _, _ = bytes.Cut(ref, []byte("/_history/"))
	i := bytes.LastIndex(ref, []byte("Patient/"))
	if i < 0 || i > 0 && ref[i-1] != '/' {
		return nil
	}
	id := ref[i+len("Patient/"):]
	if len(id) == 0 || bytes.IndexByte(id, '/') >= 0 {
		return nil
	}
	return id
}

// instants are the forms of an instant that servers write.
var instants = []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999Z0700",
	"2006-01-02T15:04:05.999999999", "2006-01-02T15:04Z07:00", "2006-01-02"}

// LastUpdatedMillis reads meta.lastUpdated as Unix milliseconds, rounded down;
// without an offset it is taken as UTC. ok is false if it cannot be read.
func LastUpdatedMillis(b []byte) (ms int64, ok bool) {
	for _, layout := range instants {
		if t, err := time.Parse(layout, string(b)); err == nil {
			return t.UnixMilli(), true
		}
	}
	return 0, false
}

// Compact appends src to dst without the white space outside strings. src must
// be valid JSON.
func Compact(dst, src []byte) []byte {
	in := false
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch {
		case in && c == '\\' && i+1 < len(src):
			dst = append(dst, c, src[i+1])
			i++
			continue
		case c == '"':
			in = !in
		case !in && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
