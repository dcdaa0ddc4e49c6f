// Package scan reads the few facts the mirror needs from the bytes of one FHIR
// resource, proves that the bytes are JSON, and computes their fingerprint, in
// one pass.
//
// It never decodes and re-encodes a resource, folds no case, and refuses a
// resource whose root or meta names a member twice (P120). It does not know what
// a resource means.
package scan

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
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
// the line or into the Scanner and are valid until its next call.
type Facts struct {
	Type, ID    []byte
	VersionID   []byte   // meta.versionId as written, without quotes; nil if none
	LastUpdated []byte   // meta.lastUpdated as written; nil if none
	Patient     []byte   // id of the patient it belongs to (see Scanner.Facts); nil if none
	Subsetted   bool     // the source says it is not whole (P52)
	Fingerprint [16]byte // set by Line only
}

// A Scanner scans one line after the other. It is used by one goroutine at a
// time.
type Scanner struct {
	mac  hash.Hash
	sum  []byte
	b    []byte
	cuts []span // what the fingerprint leaves out, in order
	root members
	meta members
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
// An attachment is an object that is the value, or an element of the array that
// is the value, of a member named as in attachmentNames. So
// {"meta":{"versionId":"7","profile":["p"]}, "id":"a"} is hashed as
// {"meta":{"profile":["p"]},"id":"a"}. Everything else counts: order of members,
// text of numbers, tags (archive.md 5).
func (s *Scanner) Line(line []byte) (Facts, error) {
	f, err := s.Facts(line)
	if err != nil {
		return f, err
	}
	s.mac.Reset()
	at := 0
	for _, c := range s.cuts {
		if c.from > at {
			s.mac.Write(line[at:c.from])
		}
		at = c.to
	}
	s.mac.Write(line[at:])
	s.sum = s.mac.Sum(s.sum[:0])
	f.Fingerprint = [16]byte(s.sum)
	return f, nil
}

// Facts is Line without the fingerprint.
//
// The patient of a Patient is itself. Of any other resource it is the first
// reference of the form Patient/id (also absolute, also with /_history/n) in the
// root members patient, subject, beneficiary, for, individual, participant
// (their member actor), actor, target and source, in this order.
func (s *Scanner) Facts(line []byte) (Facts, error) {
	s.b, s.cuts = line, s.cuts[:0]
	s.root.reset()
	s.meta.reset()
	if !utf8.Valid(line) {
		return Facts{}, ErrNotUTF8
	}
	i := s.space(0)
	if i >= len(line) || line[i] != '{' {
		if end, err := s.value(i, 0, false); err != nil || s.space(end) != len(line) {
			return Facts{}, &SyntaxError{i}
		}
		return Facts{}, ErrNotObject
	}
	end, err := s.object(i, 1, false, &s.root)
	if err != nil {
		return Facts{}, err
	}
	if end = s.space(end); end != len(line) {
		return Facts{}, &SyntaxError{end}
	}
	return s.collect()
}

// collect reads the facts from the members that were noted.
func (s *Scanner) collect() (Facts, error) {
	var f Facts
	if s.root.twice || s.meta.twice {
		return f, ErrDuplicateKey
	}
	f.Type = s.text(s.root.at[keyType])
	if !typeName(f.Type) {
		return f, ErrNoType
	}
	f.ID = s.text(s.root.at[keyID])
	if len(f.ID) == 0 || len(f.ID) > maxID {
		return f, ErrNoID
	}
	f.VersionID = s.text(s.meta.at[keyVersionID])
	f.LastUpdated = s.text(s.meta.at[keyLastUpdated])
	if m := s.root.at[keyMeta]; m.to > 0 {
		f.Subsetted = subsetted(s.b[m.from:m.to])
	}
	if string(f.Type) == "Patient" {
		f.Patient = f.ID
	} else {
		f.Patient = s.patient()
	}
	return f, nil
}

// text returns the content of a string; nil if the span is no string.
func (s *Scanner) text(v span) []byte {
	if v.to-v.from < 2 || s.b[v.from] != '"' {
		return nil
	}
	in := s.b[v.from+1 : v.to-1]
	if bytes.IndexByte(in, '\\') < 0 {
		return in
	}
	var out string
	if json.Unmarshal(s.b[v.from:v.to], &out) != nil {
		return nil
	}
	return []byte(out)
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

// subsetted looks for the tag of Bulk Data and search summaries.
func subsetted(meta []byte) bool {
	if !bytes.Contains(meta, []byte("SUBSETTED")) {
		return false
	}
	var m struct {
		Tag []struct {
			Code string `json:"code"`
		} `json:"tag"`
	}
	if json.Unmarshal(meta, &m) != nil {
		return false
	}
	for _, t := range m.Tag {
		if t.Code == "SUBSETTED" {
			return true
		}
	}
	return false
}
