// Package scan reads the few facts the mirror needs from the bytes of one FHIR
// resource, proves that the bytes are JSON, and computes their fingerprint, in
// one pass.
//
// It never decodes and re-encodes a resource, folds no case, and refuses a
// resource whose root or meta names a member twice (P120). It does not know what
// a resource means.
package scan

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"unicode/utf8"
)

// MaxDepth is how deep objects and arrays may lie in each other (P118).
const MaxDepth = 200

// maxID bounds an id: FHIR allows 64 characters; more are kept, not trusted.
const maxID = 1024

// Why a line is no resource. A *SyntaxError wraps ErrSyntax.
var (
	ErrSyntax       = errors.New("not valid JSON")
	ErrNotUTF8      = errors.New("not valid UTF-8")
	ErrNotObject    = errors.New("not a JSON object")
	ErrTooDeep      = errors.New("nested too deeply")
	ErrDuplicateKey = errors.New("a member of the root or of meta stands twice")
	ErrNoType       = errors.New("no usable resourceType")
	ErrNoID         = errors.New("no usable id")
)

// A SyntaxError says where the bytes stop being JSON. It quotes nothing.
type SyntaxError struct{ Offset int }

// Error implements error.
func (e *SyntaxError) Error() string { return fmt.Sprintf("not valid JSON at byte %d", e.Offset) }

// Unwrap makes errors.Is(err, ErrSyntax) true.
func (e *SyntaxError) Unwrap() error { return ErrSyntax }

// Facts are what the mirror needs to know of a resource. The slices point into
// the line or into the Scanner, must not be changed, and are valid until its next
// call. Strings are unescaped; what is no string counts as absent.
type Facts struct {
	Type, ID    []byte   // a name of 1-64 letters; 1-1024 bytes of any text (P119)
	VersionID   []byte   // meta.versionId; nil if none
	LastUpdated []byte   // meta.lastUpdated, see LastUpdatedMillis; nil if none
	Patient     []byte   // id of the patient it belongs to (see Scanner.Facts); nil if none
	Subsetted   bool     // meta.tag has the code SUBSETTED, of any system (P52)
	Fingerprint [16]byte // set by Line only
}

// A Scanner scans one line after the other. It is used by one goroutine at a
// time. It keeps the last line until its next call.
type Scanner struct {
	mac   hash.Hash
	sum   []byte
	buf   []byte
	b     []byte // the line
	tidy  bool   // it is tidy
	cuts  []span // what the fingerprint leaves out, in order
	loose bool   // more white space is to be left out than cuts says
	links []span // attachments with a url
	refs  []span // values of members named reference, at most maxReferences
	root  members
	meta  members
}

type span struct{ from, to int }

// New returns a Scanner whose fingerprints are made with key.
func New(key [32]byte) *Scanner {
	return &Scanner{mac: hmac.New(sha256.New, key[:])}
}

// Line checks one resource, without a newline behind it, and returns its facts
// with the fingerprint: the first 16 bytes of HMAC-SHA256 over the line without
//
//   - white space outside strings,
//   - the members versionId and lastUpdated of the root's meta, each with the
//     comma before it if a member that stays stands before it in meta, else with
//     the comma behind it if there is one,
//   - from an attachment's url its query, from '?' to the end of the string.
//
// An attachment is an object that is the value, or an element of the array (or of
// arrays in it) that is the value, of a member named as in attachmentNames, at any
// depth; these names, url and '?' count only if they are written without escapes.
// So
//
//	{"meta":{"versionId":"7","profile":["p"]}, "resourceType":"X","id":"a","photo":[{"url":"u?k=1"}]}
//
// is hashed as
//
//	{"meta":{"profile":["p"]},"resourceType":"X","id":"a","photo":[{"url":"u"}]}
//
// and a meta that held nothing else is hashed as {}, which is not the same as no
// meta. Everything else counts: order of members, text of numbers and strings,
// tags, security labels (archive.md 5). The errors are those of Facts.
func (s *Scanner) Line(line []byte) (Facts, error) {
	f, err := s.Facts(line)
	if err != nil {
		return f, err
	}
	s.hash()
	f.Fingerprint = [16]byte(s.sum)
	return f, nil
}

// Facts is Line without the fingerprint. It proves that the line is one JSON
// object (RFC 8259) in UTF-8, at most MaxDepth deep, that neither the root nor its
// meta has two members of one name (after unescaping, upper and lower case apart),
// and that it has a type and an id; else the error wraps one of this package's and
// the facts are zero. White space may stand around it.
//
// The patient of a Patient is itself. Of any other resource it is the first
// reference of the form Patient/id (also absolute, also with /_history/n) in the
// root members patient, subject, beneficiary, for, individual, participant
// (their member actor), actor, target and source, in this order, each an object
// or a list of them. References with a query or a fragment name nobody.
func (s *Scanner) Facts(line []byte) (Facts, error) {
	s.b, s.cuts, s.loose = line, s.cuts[:0], false
	s.links, s.refs = s.links[:0], s.refs[:0]
	if cap(s.cuts) > 16*maxCuts {
		s.cuts = nil // a line of a million queries must not weigh on the next
	}
	s.root.reset()
	s.meta.reset()
	s.tidy = tidy(line)
	if !s.tidy && !utf8.Valid(line) {
		return Facts{}, ErrNotUTF8
	}
	i := s.space(0)
	whole := i < len(line) && line[i] == '{'
	var err error
	if whole {
		i, err = s.noted(i, 1, &s.root)
	} else {
		i, err = s.value(i, 0, false)
	}
	if err != nil {
		return Facts{}, err
	}
	if i = s.space(i); i != len(line) {
		return Facts{}, &SyntaxError{i}
	}
	if !whole {
		return Facts{}, ErrNotObject
	}
	return s.collect()
}

// collect reads the facts from the members that were noted.
func (s *Scanner) collect() (Facts, error) {
	if s.root.repeats() || s.meta.repeats() {
		return Facts{}, ErrDuplicateKey
	}
	f := Facts{Type: s.text(s.root.at[keyType]), ID: s.text(s.root.at[keyID])}
	if !typeName(f.Type) {
		return Facts{}, ErrNoType
	}
	if len(f.ID) == 0 || len(f.ID) > maxID {
		return Facts{}, ErrNoID
	}
	f.VersionID = s.text(s.meta.at[keyVersionID])
	f.LastUpdated = s.text(s.meta.at[keyLastUpdated])
	f.Subsetted = s.subsetted()
	if string(f.Type) == "Patient" {
		f.Patient = f.ID
	} else {
		f.Patient = s.patient()
	}
	return f, nil
}

func typeName(b []byte) bool {
	if len(b) == 0 || len(b) > 64 {
		return false
	}
	for _, c := range b {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return false
		}
	}
	return true
}
