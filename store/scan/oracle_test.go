package scan_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"pgregory.net/rapid"

	"chartcellar/store/scan"
)

// A node is a JSON value as its text stands: the slow and plain way to say what
// the scanner must find.
type node struct {
	text    string // a string with its quotes, a number, a word; "" otherwise
	object  bool
	names   []string // as written, with quotes
	values  []*node
	deepest int // levels of objects and arrays
}

// tree reads a text that json.Valid has accepted and returns what is behind it.
func tree(s string) (*node, string) {
	s = strings.TrimLeft(s, " \t\r\n")
	switch {
	case s[0] == '"':
		n := 1
		for s[n] != '"' {
			if s[n] == '\\' {
				n++
			}
			n++
		}
		return &node{text: s[:n+1]}, s[n+1:]
	case s[0] != '{' && s[0] != '[':
		n := strings.IndexAny(s+" ", " \t\r\n,]}")
		return &node{text: s[:n]}, s[n:]
	}
	n := &node{object: s[0] == '{', deepest: 1}
	s = strings.TrimLeft(s[1:], " \t\r\n")
	for s[0] != '}' && s[0] != ']' {
		var v *node
		if n.object {
			v, s = tree(s)
			n.names = append(n.names, v.text)
			s = strings.TrimLeft(s, " \t\r\n")[1:]
		}
		v, s = tree(s)
		n.values = append(n.values, v)
		n.deepest = max(n.deepest, v.deepest+1)
		if s = strings.TrimLeft(s, " \t\r\n"); s[0] == ',' {
			s = strings.TrimLeft(s[1:], " \t\r\n")
		}
	}
	return n, s[1:]
}

func plainText(quoted string) (s string) {
	if !strings.HasPrefix(quoted, `"`) || json.Unmarshal([]byte(quoted), &s) != nil {
		return ""
	}
	return s
}

// get returns the first member of that name; a node without text if none.
func (n *node) get(name string) *node {
	for i, quoted := range n.names {
		if plainText(quoted) == name {
			return n.values[i]
		}
	}
	return &node{}
}

// objects returns n if it is an object, or the objects in the list n.
func (n *node) objects() (list []*node) {
	if n.object {
		return []*node{n}
	}
	for _, v := range n.values {
		if v.object {
			list = append(list, v)
		}
	}
	return list
}

func (n *node) repeats() bool {
	seen := map[string]bool{}
	for _, quoted := range n.names {
		seen[plainText(quoted)] = true
	}
	return len(seen) < len(n.names)
}

var attachments = strings.Fields(`attachment valueAttachment contentAttachment sourceAttachment
	defaultValueAttachment photo presentedForm content document image`)

// canonical writes the text that is hashed. role is "root", "meta", "attachment"
// or the empty string.
func (n *node) canonical(b *strings.Builder, role string) {
	if n.deepest == 0 {
		b.WriteString(n.text)
		return
	}
	open, end := "[", "]"
	if n.object {
		open, end = "{", "}"
	}
	b.WriteString(open)
	comma := ""
	for i, v := range n.values {
		if !n.object {
			b.WriteString(comma)
			v.canonical(b, role)
			comma = ","
			continue
		}
		quoted := n.names[i]
		name := plainText(quoted)
		if role == "meta" && (name == "versionId" || name == "lastUpdated") {
			continue
		}
		b.WriteString(comma + quoted + ":")
		comma = ","
		switch {
		case role == "root" && name == "meta" && v.object:
			v.canonical(b, "meta")
		case role == "attachment" && quoted == `"url"` && v.deepest == 0 &&
			v.text[0] == '"' && strings.Contains(v.text, "?"):
			b.WriteString(v.text[:strings.Index(v.text, "?")] + `"`)
		case slices.Contains(attachments, strings.Trim(quoted, `"`)):
			v.canonical(b, "attachment")
		default:
			v.canonical(b, "")
		}
	}
	b.WriteString(end)
}

var patientForm = regexp.MustCompile(`^([^?#]*/)?Patient/([^/?#]+)(/_history/[^?#]*)?$`)

func (n *node) patient() string {
	for _, name := range []string{"patient", "subject", "beneficiary", "for", "individual",
		"participant", "actor", "target", "source"} {
		for _, ref := range n.get(name).objects() {
			if name == "participant" {
				ref = ref.get("actor")
			}
			if !ref.object {
				continue
			}
			text := plainText(ref.get("reference").text)
			if m := patientForm.FindStringSubmatch(text); m != nil {
				return m[2]
			}
		}
	}
	return ""
}

var typeForm = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// oracle says what Line must answer; one of the errors.
func oracle(line []byte) (scan.Facts, []error) {
	if !utf8.Valid(line) {
		return scan.Facts{}, []error{scan.ErrNotUTF8}
	}
	if !json.Valid(line) {
		return scan.Facts{}, []error{scan.ErrSyntax, scan.ErrTooDeep}
	}
	root, _ := tree(string(line))
	meta := root.get("meta")
	id, typ := plainText(root.get("id").text), plainText(root.get("resourceType").text)
	switch {
	case root.deepest > scan.MaxDepth:
		return scan.Facts{}, []error{scan.ErrTooDeep}
	case !root.object:
		return scan.Facts{}, []error{scan.ErrNotObject}
	case root.repeats() || meta.object && meta.repeats():
		return scan.Facts{}, []error{scan.ErrDuplicateKey}
	case !typeForm.MatchString(typ):
		return scan.Facts{}, []error{scan.ErrNoType}
	case id == "" || len(id) > 1024:
		return scan.Facts{}, []error{scan.ErrNoID}
	}
	f := scan.Facts{Type: []byte(typ), ID: []byte(id), Patient: []byte(root.patient())}
	if typ == "Patient" {
		f.Patient = f.ID
	}
	if meta.object {
		f.VersionID = []byte(plainText(meta.get("versionId").text))
		f.LastUpdated = []byte(plainText(meta.get("lastUpdated").text))
		for _, tag := range meta.get("tag").objects() {
			f.Subsetted = f.Subsetted || plainText(tag.get("code").text) == "SUBSETTED"
		}
	}
	var b strings.Builder
	root.canonical(&b, "root")
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte(b.String()))
	f.Fingerprint = [16]byte(mac.Sum(nil))
	return f, nil
}

// check compares Line and Facts with the oracle.
func check(t rapid.TB, s *scan.Scanner, line []byte) {
	t.Helper()
	before := bytes.Clone(line)
	want, errs := oracle(line)
	got, err := s.Line(line)
	if !bytes.Equal(line, before) {
		t.Fatalf("Line changed the line %q", before)
	}
	if len(errs) > 0 {
		if !slices.ContainsFunc(errs, func(e error) bool { return errors.Is(err, e) }) {
			t.Fatalf("Line(%q) = %v, want one of %v", line, err, errs)
		}
		if !equal(got, scan.Facts{}) {
			t.Fatalf("Line(%q) gave facts with the error %v", line, err)
		}
	} else if err != nil || !equal(got, want) {
		t.Fatalf("Line(%q)\n= %s, %v\nwant %s", line, show(got), err, show(want))
	}
	quick, quickErr := s.Facts(line)
	want.Fingerprint = [16]byte{}
	if (quickErr == nil) != (err == nil) || !equal(quick, want) {
		t.Fatalf("Facts(%q) = %s, %v; want %s, %v", line, show(quick), quickErr, show(want), err)
	}
}

func equal(a, b scan.Facts) bool {
	return bytes.Equal(a.Type, b.Type) && bytes.Equal(a.ID, b.ID) &&
		bytes.Equal(a.VersionID, b.VersionID) && bytes.Equal(a.LastUpdated, b.LastUpdated) &&
		bytes.Equal(a.Patient, b.Patient) && a.Subsetted == b.Subsetted &&
		a.Fingerprint == b.Fingerprint
}
