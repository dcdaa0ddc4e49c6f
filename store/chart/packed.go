package chart

import "encoding/binary"

// A Packed is an Entry in one string, for keeping very many: the fields one behind the
// other, each with its length before it.
type Packed string

// Pack returns the entry packed.
func (e *Entry) Pack() Packed {
	b := make([]byte, 1, 256)
	for i, set := range []bool{e.Inactive, e.Plain, e.Sensitive, e.Withheld} {
		if set {
			b[0] |= 1 << i
		}
	}
	for _, f := range []string{e.ID, e.Name, e.Born, e.Sex, e.MRN, e.Phone, e.Deceased, e.ReplacedBy, e.died,
		string(e.names), string(e.digits), string(e.ids)} {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	for _, f := range e.Others {
		b = append(binary.AppendUvarint(b, uint64(len(f))), f...)
	}
	return Packed(b)
}

// Entry returns what was packed. Its strings are parts of p.
func (p Packed) Entry() (e Entry) {
	e.Inactive, e.Plain, e.Sensitive, e.Withheld = p[0]&1 != 0, p[0]&2 != 0, p[0]&4 != 0, p[0]&8 != 0
	rest := string(p[1:])
	var names, digits, ids string
	e.ID, rest = packedField(rest)
	e.Name, rest = packedField(rest)
	e.Born, rest = packedField(rest)
	e.Sex, rest = packedField(rest)
	e.MRN, rest = packedField(rest)
	e.Phone, rest = packedField(rest)
	e.Deceased, rest = packedField(rest)
	e.ReplacedBy, rest = packedField(rest)
	e.died, rest = packedField(rest)
	names, rest = packedField(rest)
	digits, rest = packedField(rest)
	ids, rest = packedField(rest)
	e.names, e.digits, e.ids = terms(names), terms(digits), terms(ids)
	for rest != "" {
		var other string
		other, rest = packedField(rest)
		e.Others = append(e.Others, other)
	}
	return e
}

// packedField takes the first field off.
func packedField(s string) (field, rest string) {
	n, from := int(s[0]), 1
	if n >= 0x80 {
		n, from = longField(s)
	}
	return s[from : from+n], s[from+n:]
}

func longField(s string) (n, from int) {
	u, from := binary.Uvarint([]byte(s[:min(len(s), binary.MaxVarintLen64)]))
	return int(u), from
}
