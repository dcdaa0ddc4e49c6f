// Package chart says what records mean to a clinician: who the patient is, what
// is wrong, what is taken, what was measured, and what a record holds word by word.
//
// It reads bytes with the FHIR models and never writes them. A record that a model
// refuses is not shown half-filled: it is shown plainly, as the card of its own
// elements, and counted. Nothing is invented: what a record does not say is not
// said here. The package knows no mirror, no page and no terminal.
package chart

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// A Resource is one record as the EMR gave it. Raw is read during a call and not
// kept.
type Resource struct {
	Type, ID string
	Raw      []byte
	// Closed says that it is to be treated as labelled sensitive, whatever its bytes say:
	// of an old copy, when it was labelled later.
	Closed bool
}

// Ref returns Type/ID, as FHIR writes it.
func (r Resource) Ref() string { return r.Type + "/" + r.ID }

// ErrRefused says that no model reads the record as it is written. Show its Card.
var ErrRefused = errors.New("the record is not as FHIR R4 says")

// needsStatus are the types whose status the models would make up if it is
// absent: the zero value of a required code is a code.
var needsStatus = []string{"Observation", "Encounter", "DocumentReference", "DiagnosticReport",
	"Appointment", "Coverage", "Procedure", "Immunization", "ServiceRequest", "CarePlan"}

// read fills a model with a record, or refuses: an unknown code, a wrong kind of
// value, a status that is not there, a member that differs only in upper and
// lower case, or a modifier that changes the meaning in a way we do not know.
func read[T any](r Resource) (T, error) { return readBut[T](r, nil) }

// readBut is read without the members that apart takes, as readable says.
func readBut[T any](r Resource, apart func(name, value []byte) bool) (T, error) {
	var model, none T
	looked := lookedBytes.Get().(*[]byte)
	defer lookedBytes.Put(looked)
	if err := readable(r, looked, apart); err != nil {
		return none, err
	}
	if err := json.Unmarshal(*looked, &model); err != nil {
		return none, fmt.Errorf("%w: %v", ErrRefused, err)
	}
	return model, nil
}

// lookedBytes are for readable: a model keeps nothing of what it was read from.
var lookedBytes = sync.Pool{New: func() any { return new([]byte) }}

// slim returns a record without the bytes of the files in it, of which only the
// first few stay. A short record, and one without files, is returned as it is.
func slim(raw []byte) []byte {
	const short = 2 << 10
	if len(raw) < short {
		return raw
	}
	from, to := nextData(raw)
	if from < 0 {
		return raw
	}
	out := make([]byte, 0, short)
	for from >= 0 {
		keep := to
		if to-from > longData {
			keep = from + 4
		}
		out = append(out, raw[:keep]...)
		raw = raw[to:]
		from, to = nextData(raw)
	}
	return append(out, raw...)
}

// unlooked are members of a record that no section looks at: they are not decoded.
// Labels are read from the bytes.
func unlooked(name []byte) bool {
	switch string(name) {
	case "meta", "text", "subject", "encounter":
		return true
	}
	return false
}

// readable makes the checks that the models leave out, and puts the record into looked, if
// that is not nil: without what nobody looks at, without the bytes of files, and without
// the members of which apart, if that is not nil, says that it takes them.
func readable(r Resource, looked *[]byte, apart func(name, value []byte) bool) error {
	if holds(r.Raw, `"modifierExtension"`, 10) || holds(r.Raw, `"implicitRules"`, 9) {
		return fmt.Errorf("%w: an extension changes its meaning", ErrRefused)
	}
	status, typ, odd, twice := false, "", false, false
	seen := make([][]byte, 0, 32)
	if looked != nil {
		*looked = (*looked)[:0]
	}
	err := eachMember(r.Raw, func(name, value []byte) {
		for _, before := range seen {
			twice = twice || len(before) == len(name) && bytes.EqualFold(before, name)
		}
		seen = append(seen, name)
		if looked != nil && !unlooked(name) && (apart == nil || !apart(name, value)) {
			*looked = append(append(append(append(*looked, ",\""...), name...), "\":"...), slim(value)...)
		}
		switch {
		case string(name) == "status":
			status = len(value) > 0 && value[0] == '"'
		case string(name) == "resourceType" && len(value) > 1:
			typ = string(value[1 : len(value)-1])
		case len(name) == 0 || name[0] != '_' && (name[0] < 'a' || name[0] > 'z'):
			odd = true
		}
	})
	switch {
	case err != nil:
		return fmt.Errorf("%w: %v", ErrRefused, err)
	case typ != r.Type:
		return fmt.Errorf("%w: it is a %s", ErrRefused, typ)
	case odd:
		return fmt.Errorf("%w: a member has an odd name", ErrRefused)
	case twice:
		return fmt.Errorf("%w: a member stands in it twice", ErrRefused)
	case !status && slices.Contains(needsStatus, r.Type):
		return fmt.Errorf("%w: no status", ErrRefused)
	}
	if looked != nil {
		(*looked)[0] = '{' // there is a type, so it is not empty
		*looked = append(*looked, '}')
		if namesTwice(*looked) {
			return fmt.Errorf("%w: a member stands in it twice", ErrRefused)
		}
	}
	return nil
}

// contained returns the record inside a record that has this id; nil if none.
func contained(raw []byte, id string) []byte {
	for _, one := range containedIn(raw) {
		if headOf(one).ID == id {
			return one
		}
	}
	return nil
}

// A head is what every record begins with.
type head struct{ Type, ID string }

func headOf(raw []byte) (h head) {
	eachMember(raw, func(name, value []byte) { // what is no JSON has no head
		switch string(name) {
		case "resourceType":
			h.Type = stringOf(value)
		case "id":
			h.ID = stringOf(value)
		}
	})
	return h
}

func stringOf(value []byte) (s string) {
	if json.Unmarshal(value, &s) != nil {
		return ""
	}
	return s
}

// str returns what a pointer points to; "" for nil.
func str(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// join puts words together, leaving out what is empty.
func join(sep string, words ...string) string {
	return strings.Join(slices.DeleteFunc(words, func(s string) bool { return s == "" }), sep)
}
