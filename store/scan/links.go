package scan

import (
	"bytes"
	"strconv"
)

// maxReferences bounds the references that are noted in one line.
const maxReferences = 10_000

func (s *Scanner) noteReference(v span) {
	if len(s.refs) < maxReferences {
		s.refs = append(s.refs, v)
	}
}

// A Link is a FHIR Attachment that gives its content by an address.
type Link struct {
	URL         string // as the record has it
	ContentType string
	Hash        string // base64 of the SHA-1 of the content (R4); "" if it is not given
	Size        int64  // -1 if it is not given
}

// Links calls fn for each Attachment of the line last scanned that has a url and
// no data, in their order. What an attachment is, Line says.
func (s *Scanner) Links(fn func(Link)) {
	defer s.quietly()()
	for _, at := range s.links {
		url := string(s.text(s.find(at.from, "url")))
		if url == "" || s.find(at.from, "data").to != 0 {
			continue
		}
		l := Link{URL: url, ContentType: string(s.text(s.find(at.from, "contentType"))),
			Hash: string(s.text(s.find(at.from, "hash"))), Size: -1}
		if v := s.find(at.from, "size"); v.to != 0 {
			if n, err := strconv.ParseInt(string(s.b[v.from:v.to]), 10, 64); err == nil && n >= 0 {
				l.Size = n
			}
		}
		fn(l)
	}
}

// References calls fn with each reference of the line last scanned, as
// SplitReference takes it. It is valid until the next call.
func (s *Scanner) References(fn func(ref []byte)) {
	for _, v := range s.refs {
		fn(s.text(v))
	}
}

// SplitReference returns the type and the id of a literal reference,
// [base/]Type/id[/_history/version], and what stands before them: "" if it is
// relative, else the base with a slash at its end. ok is false for contained,
// logical and conditional ones. The slices are parts of ref.
func SplitReference(ref []byte) (base, typ, id []byte, ok bool) {
	if bytes.IndexByte(ref, '?') >= 0 || bytes.IndexByte(ref, '#') >= 0 {
		return nil, nil, nil, false
	}
	if i := bytes.Index(ref, []byte("/_history/")); i >= 0 {
		ref = ref[:i]
	}
	slash := bytes.LastIndexByte(ref, '/')
	if slash < 1 || slash == len(ref)-1 {
		return nil, nil, nil, false
	}
	head, id := ref[:slash], ref[slash+1:]
	start := bytes.LastIndexByte(head, '/') + 1
	return head[:start], head[start:], id, typeName(head[start:])
}
