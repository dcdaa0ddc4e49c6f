package chart

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// A CardLine is one element of a record: where it stands, in words, and what it
// says, as it is written.
type CardLine struct {
	Path  string `json:"path"`
	Value string `json:"value"`
}

// longData is from how many letters on the data of an attachment is only measured
// on a card.
const longData = 200

// Narrative returns the text that a record has for reading, made safe. It is empty if the
// record has none.
func Narrative(raw []byte) Markup {
	tree, err := parseTree(raw)
	if err != nil {
		return Markup{}
	}
	return SafeHTML(tree.get("text").str("div"))
}

// Card returns every element of a JSON value that has a value of its own, in the
// order of the record: none is dropped, numbers keep their digits. Narrative is
// shown as text; data of attachments is measured, not printed. What could disturb
// a terminal is made visible.
func Card(raw []byte) ([]CardLine, error) {
	tree, err := parseTree(raw)
	if err != nil {
		return nil, err
	}
	var lines []CardLine
	card(&tree, "", "", &lines)
	return lines, nil
}

func card(n *node, path, name string, to *[]CardLine) {
	eachLeaf(n, path, name, nil, func(l leafAt) {
		*to = append(*to, CardLine{l.path, leafText(l.leaf, l.name)})
	})
}

// leafText writes the value of a leaf; name is that of its member.
func leafText(n *node, name string) string {
	switch n.kind {
	case text:
		return stringText(n.text, name)
	case object, array:
		return "(empty)"
	case null:
		return "(null)"
	}
	return n.text
}

func stringText(s, name string) string {
	switch {
	case s == "":
		return "(empty text)"
	case name == "div" && strings.HasPrefix(s, "<"):
		return strings.TrimSpace(htmlText(s))
	case name == "data" && len(s) > longData:
		if size := base64Size(s); size >= 0 {
			return fmt.Sprintf("(%d bytes, not shown here)", size)
		}
	}
	return Clean(s)
}

// base64Size returns how many bytes a text stands for; -1 if it is no base64.
func base64Size(s string) int {
	// A large file is not decoded into memory to be measured.
	n, err := io.Copy(io.Discard, base64.NewDecoder(base64.StdEncoding, strings.NewReader(s)))
	if err == nil {
		return int(n)
	}
	b, err := decode64(s)
	if err != nil {
		return -1
	}
	return len(b)
}

// decode64 reads base64 with or without line breaks and padding.
func decode64(s string) ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(s)
	if err == nil {
		return b, nil
	}
	s = strings.TrimRight(strings.Join(strings.Fields(s), ""), "=")
	return base64.RawStdEncoding.DecodeString(s)
}
