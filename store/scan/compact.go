package scan

// Compact appends src to dst without the white space outside strings; nothing
// else changes. src must be valid JSON.
func Compact(dst, src []byte) []byte {
	var q squeezer
	return q.squeeze(dst, src)
}

// A squeezer drops the white space outside strings from the pieces of one text.
type squeezer struct {
	in      bool // a string is open
	escaped bool // its last byte so far was a backslash that escapes the next
}

func (q *squeezer) squeeze(dst, src []byte) []byte {
	from, i := 0, 0
	if q.escaped && len(src) > 0 {
		q.escaped = false
		i = 1
	}
	for i < len(src) {
		if q.in {
			if i = plain(src, i); i == len(src) {
				break
			}
			switch src[i] {
			case '"':
				q.in = false
			case '\\':
				i++
				q.escaped = i == len(src)
			}
			i++
			continue
		}
		switch src[i] {
		case ' ', '\t', '\n', '\r':
			dst = append(dst, src[from:i]...)
			from = i + 1
		case '"':
			q.in = true
		}
		i++
	}
	return append(dst, src[from:]...)
}

// hash writes the line without its cuts to the HMAC.
func (s *Scanner) hash() {
	s.mac.Reset()
	var q squeezer
	at := 0
	for _, c := range s.cuts {
		if c.from > at {
			s.write(&q, s.b[at:c.from])
		}
		at = c.to
	}
	s.write(&q, s.b[at:])
	s.sum = s.mac.Sum(s.sum[:0])
}

// write writes a piece to the HMAC. If not all white space was noted as a cut
// it is dropped here: cuts begin and end outside strings, or (queries) in one.
func (s *Scanner) write(q *squeezer, piece []byte) {
	if !s.loose {
		s.mac.Write(piece)
		return
	}
	for len(piece) > 0 {
		n := min(len(piece), squeezeSize)
		s.buf = q.squeeze(s.buf[:0], piece[:n])
		s.mac.Write(s.buf)
		piece = piece[n:]
	}
}

const squeezeSize = 16 << 10
