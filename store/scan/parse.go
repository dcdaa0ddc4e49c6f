package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// The members that are noted: of the root and of meta.
const (
	keyNone = iota
	keyType
	keyID
	keyMeta
	keyPatient // from here in the order in which they name the patient
	keySubject
	keyBeneficiary
	keyFor
	keyIndividual
	keyParticipant
	keyActor
	keyTarget
	keySource
	keyVersionID
	keyLastUpdated
	keyCount
)

func rootKey(name []byte) int {
	switch string(name) {
	case "resourceType":
		return keyType
	case "id":
		return keyID
	case "meta":
		return keyMeta
	case "patient":
		return keyPatient
	case "subject":
		return keySubject
	case "beneficiary":
		return keyBeneficiary
	case "for":
		return keyFor
	case "individual":
		return keyIndividual
	case "participant":
		return keyParticipant
	case "actor":
		return keyActor
	case "target":
		return keyTarget
	case "source":
		return keySource
	}
	return keyNone
}

func metaKey(name []byte) int {
	switch string(name) {
	case "versionId":
		return keyVersionID
	case "lastUpdated":
		return keyLastUpdated
	}
	return keyNone
}

// attachmentNames reports whether a member of that name holds FHIR Attachments
// (R4: every element of type Attachment, and value[x] of that type).
func attachmentNames(name []byte) bool {
	switch string(name) {
	case "attachment", "valueAttachment", "contentAttachment", "sourceAttachment",
		"defaultValueAttachment", "photo", "presentedForm", "content", "document", "image":
		return true
	}
	return false
}

// members are the noted members of an object whose names must not repeat.
type members struct {
	at    [keyCount]span
	names [][]byte
	seen  uint64
	twice bool
}

func (m *members) reset() {
	m.at = [keyCount]span{}
	m.names, m.seen, m.twice = m.names[:0], 0, false
}

// note remembers a name and reports a repetition; the bits of seen spare most
// of the comparisons.
func (m *members) note(name []byte) {
	last := byte(0)
	if len(name) > 0 {
		last = name[len(name)-1]
	}
	bit := uint64(1) << ((uint(len(name))*7 + uint(last)*31) & 63)
	if m.seen&bit != 0 {
		for _, n := range m.names {
			if bytes.Equal(n, name) {
				m.twice = true
			}
		}
	}
	m.seen |= bit
	m.names = append(m.names, name)
}

// space skips white space from i and notes it as left out.
func (s *Scanner) space(i int) int {
	b := s.b
	if i >= len(b) || b[i] > ' ' {
		return i
	}
	from := i
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	if i > from {
		s.cuts = append(s.cuts, span{from, i})
	}
	return i
}

// value checks the value that starts at i and returns its end.
func (s *Scanner) value(i, depth int, attachment bool) (int, error) {
	b := s.b
	if i >= len(b) {
		return i, &SyntaxError{i}
	}
	switch c := b[i]; {
	case c == '"':
		return s.str(i + 1)
	case c == '{':
		return s.object(i, depth+1, attachment, nil)
	case c == '[':
		return s.array(i, depth+1, attachment)
	case c == '-' || c >= '0' && c <= '9':
		return s.number(i)
	case c == 't':
		return s.word(i, "true")
	case c == 'f':
		return s.word(i, "false")
	case c == 'n':
		return s.word(i, "null")
	}
	return i, &SyntaxError{i}
}

// object checks the object whose brace is at i. If note is set its members are
// noted there; attachment says that its url is one of an attachment.
func (s *Scanner) object(i, depth int, attachment bool, note *members) (int, error) {
	if depth > MaxDepth {
		return i, ErrTooDeep
	}
	b := s.b
	i = s.space(i + 1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	comma, kept := -1, false
	for {
		start, cuts := i, len(s.cuts)
		if i >= len(b) || b[i] != '"' {
			return i, &SyntaxError{i}
		}
		end, err := s.str(i + 1)
		if err != nil {
			return i, err
		}
		name := b[i+1 : end-1]
		if i = s.space(end); i >= len(b) || b[i] != ':' {
			return i, &SyntaxError{i}
		}
		i = s.space(i + 1)
		from := i
		which := keyNone
		if note != nil {
			which = s.noteName(note, b[start:end], name)
		}
		if i, err = s.member(i, depth, name, which); err != nil {
			return i, err
		}
		if note != nil {
			note.at[which] = span{from, i}
		}
		if attachment && string(name) == "url" && b[from] == '"' {
			s.cutQuery(from, i)
		}
		out := which == keyVersionID || which == keyLastUpdated
		if out {
			s.cuts = append(s.cuts[:cuts], span{start, i})
		}
		i = s.space(i)
		if i >= len(b) || b[i] != ',' && b[i] != '}' {
			return i, &SyntaxError{i}
		}
		if out {
			s.cutComma(cuts, comma, i, kept)
		}
		kept = kept || !out
		if b[i] == '}' {
			return i + 1, nil
		}
		comma = i
		i = s.space(i + 1)
	}
}

// find returns the value of a member of the object at i, which is known to be
// valid; the zero span if there is none.
func (s *Scanner) find(i int, name string) span {
	b, cuts := s.b, len(s.cuts)
	defer func() { s.cuts = s.cuts[:cuts] }()
	for i = s.space(i + 1); b[i] == '"'; {
		end, _ := s.str(i + 1)
		from := s.space(s.space(end) + 1)
		to, _ := s.value(from, 0, false)
		if string(b[i+1:end-1]) == name {
			return span{from, to}
		}
		if i = s.space(to); b[i] == ',' {
			i = s.space(i + 1)
		}
	}
	return span{}
}

// noteName notes a member's name and returns which one it is.
func (s *Scanner) noteName(note *members, quoted, name []byte) int {
	if bytes.IndexByte(name, '\\') >= 0 {
		name = unquote(quoted)
	}
	note.note(name)
	if note == &s.meta {
		return metaKey(name)
	}
	return rootKey(name)
}

// member checks the value of a member.
func (s *Scanner) member(i, depth int, name []byte, which int) (int, error) {
	if which == keyMeta && i < len(s.b) && s.b[i] == '{' {
		return s.object(i, depth+1, false, &s.meta)
	}
	return s.value(i, depth, attachmentNames(name))
}

// cutComma leaves out the comma that goes with a member of meta that is left
// out: its cut is the one at index cuts, and the next byte behind it that is no
// white space is at next.
func (s *Scanner) cutComma(cuts, comma, next int, kept bool) {
	if kept { // the comma before it, and the white space between
		for cuts > 0 && s.cuts[cuts-1].from > comma {
			cuts--
		}
		s.cuts = append(s.cuts[:cuts], span{comma, next})
	} else if s.b[next] == ',' {
		s.cuts = append(s.cuts[:cuts], span{s.cuts[cuts].from, next + 1})
	}
}

// cutQuery leaves out the query of the url in the string [from, to).
func (s *Scanner) cutQuery(from, to int) {
	for i := from + 1; i < to-1; i++ {
		if s.b[i] == '?' {
			s.cuts = append(s.cuts, span{i, to - 1})
			return
		}
	}
}

func (s *Scanner) array(i, depth int, attachment bool) (int, error) {
	if depth > MaxDepth {
		return i, ErrTooDeep
	}
	b := s.b
	i = s.space(i + 1)
	if i < len(b) && b[i] == ']' {
		return i + 1, nil
	}
	for {
		var err error
		if i, err = s.value(i, depth, attachment); err != nil {
			return i, err
		}
		i = s.space(i)
		if i >= len(b) {
			return i, &SyntaxError{i}
		}
		switch b[i] {
		case ']':
			return i + 1, nil
		case ',':
			i = s.space(i + 1)
		default:
			return i, &SyntaxError{i}
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// str returns the end of the string whose first byte behind the quote is at i:
// it looks at eight bytes at a time for a quote, a backslash or a control.
func (s *Scanner) str(i int) (int, error) {
	b := s.b
	for {
		for i+8 <= len(b) {
			x := binary.LittleEndian.Uint64(b[i:])
			q, e := x^(ones*'"'), x^(ones*'\\')
			hit := ((q-ones)&^q | (e-ones)&^e | (x-ones*' ')&^x) & highs
			if hit != 0 {
				i += bits.TrailingZeros64(hit) / 8
				break
			}
			i += 8
		}
		if i >= len(b) {
			return i, &SyntaxError{i}
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1, nil
		case c < ' ':
			return i, &SyntaxError{i}
		case c == '\\':
			n := escape(b[i:])
			if n == 0 {
				return i, &SyntaxError{i}
			}
			i += n
		default:
			i++
		}
	}
}

// escape returns the length of the escape sequence at the start of b; 0 if it
// is none.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if !(c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'f') {
				return 0
			}
		}
		return 6
	}
	return 0
}

func (s *Scanner) word(i int, w string) (int, error) {
	if len(s.b)-i < len(w) || string(s.b[i:i+len(w)]) != w {
		return i, &SyntaxError{i}
	}
	return i + len(w), nil
}

func (s *Scanner) number(i int) (int, error) {
	b := s.b
	if b[i] == '-' {
		i++
	}
	if i < len(b) && b[i] == '0' {
		i++
	} else if n := digits(b, i); n > i {
		i = n
	} else {
		return i, &SyntaxError{i}
	}
	if i < len(b) && b[i] == '.' {
		n := digits(b, i+1)
		if n == i+1 {
			return i, &SyntaxError{i}
		}
		i = n
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		n := digits(b, i)
		if n == i {
			return i, &SyntaxError{i}
		}
		i = n
	}
	return i, nil
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i] >= '0' && b[i] <= '9' {
		i++
	}
	return i
}
