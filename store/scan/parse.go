package scan

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// maxCuts is how many cuts are remembered before white space is left to the
// hashing (Scanner.hashLoose): a line of blanks must not cost many times its size.
const maxCuts = 4096

// space skips white space from i and notes it as left out. The loops below ask
// first, to save the call where there is none.
func (s *Scanner) space(i int) int {
	if i < len(s.b) && s.b[i] <= ' ' {
		return s.blanks(i)
	}
	return i
}

func (s *Scanner) blanks(i int) int {
	b, from := s.b, i
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	switch {
	case i == from:
	case len(s.cuts) < maxCuts:
		s.cuts = append(s.cuts, span{from, i})
	default:
		s.loose = true
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
		return s.object(i, depth+1, attachment)
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

// name checks the name of a member, which starts at i, and the colon behind it.
// It returns the end of the name and the start of the value.
func (s *Scanner) name(i int) (end, value int, err error) {
	b := s.b
	if i >= len(b) || b[i] != '"' {
		return i, i, &SyntaxError{i}
	}
	if end, err = s.str(i + 1); err != nil {
		return i, end, err
	}
	i = end
	if i < len(b) && b[i] <= ' ' {
		i = s.blanks(i)
	}
	if i >= len(b) || b[i] != ':' {
		return i, i, &SyntaxError{i}
	}
	if i++; i < len(b) && b[i] <= ' ' {
		i = s.blanks(i)
	}
	return end, i, nil
}

// next skips white space and what stands behind a value: a comma, with the white
// space behind it, or the closing byte. more is true behind a comma.
func (s *Scanner) next(i int, closing byte) (at int, more bool, err error) {
	b := s.b
	if i < len(b) && b[i] <= ' ' {
		i = s.blanks(i)
	}
	if i >= len(b) || b[i] != ',' && b[i] != closing {
		return i, false, &SyntaxError{i}
	}
	more = b[i] == ','
	if i++; more && i < len(b) && b[i] <= ' ' {
		i = s.blanks(i)
	}
	return i, more, nil
}

// object checks the object whose brace is at i; attachment says that its url is
// one of an attachment.
func (s *Scanner) object(i, depth int, attachment bool) (int, error) {
	if depth > MaxDepth {
		return i, ErrTooDeep
	}
	b, start, linked := s.b, i, false
	i = s.space(i + 1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	for more := true; more; {
		end, from, err := s.name(i)
		if err != nil {
			return from, err
		}
		if from < len(b) && b[from] == '"' {
			name := b[i+1 : end-1]
			i, err = s.str(from + 1)
			switch {
			case err != nil:
			case attachment && string(name) == "url":
				s.cutQuery(from, i)
				linked = true
			case string(name) == "reference":
				s.noteReference(span{from, i})
			}
		} else {
			i, err = s.member(from, depth, b[i+1:end-1])
		}
		if err != nil {
			return i, err
		}
		if i+1 < len(b) && b[i] == ',' && b[i+1] == '"' {
			i++ // the common case of next
		} else if i, more, err = s.next(i, '}'); err != nil {
			return i, err
		}
	}
	if linked {
		s.links = append(s.links, span{start, i})
	}
	return i, nil
}

// member checks the value of a member that is no string.
func (s *Scanner) member(i, depth int, name []byte) (int, error) {
	if i < len(s.b) && (s.b[i] == '{' || s.b[i] == '[') {
		return s.value(i, depth, attachmentNames(name))
	}
	return s.value(i, depth, false)
}

// noted is object for the root and its meta: it notes the members.
func (s *Scanner) noted(i, depth int, note *members) (int, error) {
	b := s.b
	i = s.space(i + 1)
	if i < len(b) && b[i] == '}' {
		return i + 1, nil
	}
	comma, kept := -1, false
	for {
		start, cuts := i, len(s.cuts)
		end, from, err := s.name(i)
		if err != nil {
			return from, err
		}
		which := s.noteName(note, b[start:end])
		if which == keyMeta && from < len(b) && b[from] == '{' {
			i, err = s.noted(from, depth+1, &s.meta)
		} else {
			i, err = s.member(from, depth, b[start+1:end-1])
		}
		if err != nil {
			return i, err
		}
		note.at[which] = span{from, i}
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

// noteName notes a member's name and returns which one it is.
func (s *Scanner) noteName(note *members, quoted []byte) int {
	name := unescaped(quoted)
	note.note(name)
	if note == &s.meta {
		return metaKey(name)
	}
	return rootKey(name)
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
	i = s.space(i + 1)
	if i < len(s.b) && s.b[i] == ']' {
		return i + 1, nil
	}
	for more := true; more; {
		var err error
		if i, err = s.value(i, depth, attachment); err != nil {
			return i, err
		}
		if i, more, err = s.next(i, ']'); err != nil {
			return i, err
		}
	}
	return i, nil
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// marks returns the high bits of the bytes of x that are a quote, a backslash or
// a control character. Only the lowest is exact: the subtractions borrow from the
// bytes above a hit.
func marks(x uint64) uint64 {
	q, e := x^(ones*'"'), x^(ones*'\\')
	return ((q-ones)&^q | (e-ones)&^e | (x-ones*' ')&^x) & highs
}

// plain returns the place of the first quote, backslash or control character
// at i or behind it, len(b) if there is none.
func plain(b []byte, i int) int {
	for ; i+8 <= len(b); i += 8 {
		if hit := marks(binary.LittleEndian.Uint64(b[i:])); hit != 0 {
			return i + bits.TrailingZeros64(hit)/8
		}
	}
	for ; i < len(b); i++ {
		if c := b[i]; c == '"' || c == '\\' || c < ' ' {
			return i
		}
	}
	return i
}

// tidy reports whether b is ASCII without control characters and backslashes,
// as most lines are: only a quote ends a string then.
func tidy(b []byte) bool {
	i := 0
	for ; i+32 <= len(b); i += 32 {
		w := b[i : i+32]
		x0, x1 := binary.LittleEndian.Uint64(w), binary.LittleEndian.Uint64(w[8:])
		x2, x3 := binary.LittleEndian.Uint64(w[16:]), binary.LittleEndian.Uint64(w[24:])
		low := (x0 - ones*' ') | (x1 - ones*' ') | (x2 - ones*' ') | (x3 - ones*' ')
		if (x0|x1|x2|x3|low)&highs != 0 {
			return false
		}
	}
	for ; i < len(b); i++ {
		if b[i] < ' ' || b[i] >= utf8.RuneSelf {
			return false
		}
	}
	return bytes.IndexByte(b, '\\') < 0
}

// quoteWords is how many words str looks at before it takes the string for a
// long one.
const quoteWords = 6

// str returns the end of the string whose first byte behind the quote is at i.
func (s *Scanner) str(i int) (int, error) {
	b := s.b
	if s.tidy {
		for n := 0; n < quoteWords && i+8 <= len(b); n, i = n+1, i+8 {
			q := binary.LittleEndian.Uint64(b[i:]) ^ (ones * '"')
			if hit := (q - ones) &^ q & highs; hit != 0 {
				return i + bits.TrailingZeros64(hit)/8 + 1, nil
			}
		}
		if n := bytes.IndexByte(b[min(i, len(b)):], '"'); n >= 0 {
			return i + n + 1, nil
		}
		return len(b), &SyntaxError{len(b)}
	}
	for ; i+8 <= len(b); i += 8 { // as plain, without the call: most strings end here
		if hit := marks(binary.LittleEndian.Uint64(b[i:])); hit != 0 {
			i += bits.TrailingZeros64(hit) / 8
			if b[i] == '"' {
				return i + 1, nil
			}
			break
		}
	}
	for {
		i = plain(b, i)
		if i >= len(b) {
			return i, &SyntaxError{i}
		}
		if b[i] == '"' {
			return i + 1, nil
		}
		n := 0
		if b[i] == '\\' {
			n = escape(b[i:])
		}
		if n == 0 {
			return i, &SyntaxError{i}
		}
		i += n
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
