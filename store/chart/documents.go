package chart

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// An Attachment is a file that a record holds or points to. What the record does
// not say is empty.
type Attachment struct {
	N           int    `json:"n"` // counted from 1 in its record
	Ref         string `json:"ref"`
	Where       string `json:"where"`            // the element, in words
	Title       string `json:"title"`            // of the attachment, else the kind of the record
	Type        string `json:"type"`             // the kind of the record
	Status      string `json:"status,omitempty"` // of the record, if it is not the usual one
	Visit       string `json:"visit,omitempty"`  // the record of the visit, as Type/id
	Date        string `json:"date"`
	Author      string `json:"author"`
	ContentType string `json:"contentType"`
	Size        string `json:"size"` // in bytes, as the record says
	Hash        string `json:"hash,omitempty"`
	URL         string `json:"url,omitempty"`
	Inline      bool   `json:"inline"` // the record holds the bytes

	data []byte // base64, where it stands in the record
}

// Data returns the bytes that the record itself holds, decoded as they are read: a
// large file is not in memory a second time. The record must not change meanwhile.
func (a *Attachment) Data() io.Reader {
	data := a.data
	if bytes.ContainsAny(data, " \t") {
		data = bytes.Join(bytes.Fields(data), nil)
	}
	return base64.NewDecoder(base64.RawStdEncoding, bytes.NewReader(bytes.TrimRight(data, "=\r\n")))
}

// attachmentNames are the members whose value is an Attachment, or a list of
// them: the same as package scan looks at.
var attachmentNames = []string{"attachment", "valueAttachment", "contentAttachment", "sourceAttachment",
	"defaultValueAttachment", "photo", "presentedForm", "content", "document", "image"}

// ListAttachments is Attachments without the bytes of the files, for long lists.
func ListAttachments(r Resource, f Finder) ([]Attachment, error) {
	if !mayNameFile(r) {
		return nil, nil
	}
	list, err := Attachments(r, f)
	for i := range list {
		list[i].data = nil
	}
	return list, err
}

// mayNameFile reports whether a record may name a file: most do not, and are not parsed to
// find that out.
func mayNameFile(r Resource) bool {
	if r.Type == "Binary" {
		return true
	}
	return (holds(r.Raw, `"contentType"`, 8) || holds(r.Raw, `"url"`, 1) || holds(r.Raw, `"data"`, 1)) &&
		slices.ContainsFunc(attachmentNames, func(n string) bool { return bytes.Contains(r.Raw, []byte(`"`+n+`"`)) })
}

// Attachments lists the files of a record in the order in which it names them. A
// Binary is its own. f puts names to authors; it may be nil. The bytes of files stay
// where they are, in Raw.
func Attachments(r Resource, f Finder) ([]Attachment, error) {
	rest, cut := cutData(r.Raw)
	tree, err := parseTree(rest)
	if err != nil {
		return nil, err
	}
	base := Attachment{Ref: r.Ref(), Title: kindOf(&tree), Type: kindOf(&tree), Date: dateOf(&tree), Author: authorOf(&tree, r, f),
		Status: unusual(&tree), Visit: visitOf(&tree, baseOf(f))}
	var list []Attachment
	add := func(n *node, where string) {
		a := base
		a.Where, a.N = where, len(list)+1
		a.fill(n, cut)
		list = append(list, a)
	}
	if r.Type == "Binary" {
		base.Title = ""
		add(&tree, "data")
	} else {
		findAttachments(&tree, "", "", add)
	}
	return list, nil
}

// cutData returns a record with a number, #0, in the place of each text of a member
// named data, and those texts, which are parts of raw. One that is written with
// backslashes stays.
func cutData(raw []byte) (rest []byte, cut [][]byte) {
	for {
		from, to := nextData(raw)
		if from < 0 {
			return append(rest, raw...), cut
		}
		if data := raw[from:to]; bytes.IndexByte(data, '\\') >= 0 {
			rest = append(rest, raw[:to]...)
		} else {
			rest = fmt.Appendf(append(rest, raw[:from]...), "#%d", len(cut))
			cut = append(cut, data)
		}
		raw = raw[to:]
	}
}

// fill takes over what the attachment says of itself.
func (a *Attachment) fill(n *node, cut [][]byte) {
	a.ContentType = CleanLine(n.str("contentType"))
	a.URL = CleanLine(n.str("url"))
	a.Hash = CleanLine(n.str("hash"))
	if s := n.get("size"); s != nil && s.leaf() {
		a.Size = CleanLine(s.text)
	}
	if t := CleanLine(n.str("title")); t != "" && t != a.Title {
		a.Title = join(": ", a.Title, t)
	}
	if d := n.str("creation"); d != "" && a.Date == "" {
		a.Date = showDate(d)
	}
	a.data = []byte(n.str("data"))
	if number, ok := strings.CutPrefix(string(a.data), "#"); ok {
		if i, err := strconv.Atoi(number); err == nil && i >= 0 && i < len(cut) {
			a.data = cut[i]
		}
	}
	a.Inline = len(a.data) > 0
}

func findAttachments(n *node, path, name string, fn func(*node, string)) {
	if n.kind == object && slices.Contains(attachmentNames, name) && isAttachment(n) {
		fn(n, path)
		return
	}
	for i := range n.kids {
		if n.kind == object {
			findAttachments(&n.kids[i], below(path, n.names[i]), n.names[i], fn)
		} else {
			place := path
			if len(n.kids) > 1 {
				place = fmt.Sprintf("%s %d", path, i+1)
			}
			findAttachments(&n.kids[i], place, name, fn)
		}
	}
}

func isAttachment(n *node) bool {
	for _, m := range []string{"contentType", "url", "data"} {
		if n.str(m) != "" {
			return true
		}
	}
	return false
}

// kindOf is what a record says of its kind: type or code.
func kindOf(n *node) string {
	for _, m := range []string{"type", "code"} {
		if c := conceptNode(n.get(m)); c != "" {
			return c
		}
	}
	return CleanLine(n.str("description"))
}

func conceptNode(n *node) string {
	if n == nil {
		return ""
	}
	if t := CleanLine(n.str("text")); t != "" {
		return t
	}
	if list := n.get("coding"); list != nil {
		for i := range list.kids {
			if t := CleanLine(list.kids[i].str("display")); t != "" {
				return t
			}
		}
		for i := range list.kids {
			if t := CleanLine(list.kids[i].str("code")); t != "" {
				return t
			}
		}
	}
	return ""
}

// EnteredInError is what Status is of the files of a record that should not exist.
const EnteredInError = "entered in error"

// unusual returns the status of a record, unless it is the one that most have.
func unusual(n *node) string {
	var out []string
	for _, m := range []string{"status", "docStatus"} {
		switch s := CleanLine(n.str(m)); s {
		case "current", "final", "completed", "active", "":
		case "entered-in-error":
			return EnteredInError
		default:
			out = append(out, s)
		}
	}
	return join(", ", out...)
}

// visitOf returns the visit of the source at base that a record belongs to, as Type/id.
func visitOf(n *node, base string) string {
	for _, in := range []*node{n, n.get("context")} {
		at := in.get("encounter")
		if at != nil && at.kind == array && len(at.kids) > 0 {
			at = &at.kids[0]
		}
		if at != nil {
			if typ, id := Target(at.str("reference"), base); typ == "Encounter" {
				return typ + "/" + id
			}
		}
	}
	return ""
}

// Visit names a visit in a line: its kind and its day.
func Visit(raw []byte) string {
	tree, err := parseTree(raw)
	if err != nil {
		return ""
	}
	what := ""
	if types := tree.get("type"); types != nil && len(types.kids) > 0 {
		what = conceptNode(&types.kids[0])
	}
	from, to, _ := spanGiven(&tree)
	day, _, _ := strings.Cut(from, "T")
	if last, _, _ := strings.Cut(to, "T"); last != day {
		day = spanText(day, last)
		if to == "" {
			day = showDay(from) // whether it is over is not said here
		}
	}
	return join(" ", what, CleanLine(day))
}

// dates are the members that date a record, the best first: moments and periods.
var dates = []string{"date", "effectiveDateTime", "effectiveInstant", "effectivePeriod", "occurrenceDateTime", "occurrencePeriod",
	"performedDateTime", "performedPeriod", "createdDateTime", "onsetDateTime", "onsetPeriod", "authoredOn", "start", "period",
	"issued", "recordedDate", "created", "birthDate"}

// dateOf returns the date of a record as it is shown, a period with both ends.
func dateOf(n *node) string {
	from, to, long := spanGiven(n)
	if long {
		return spanText(from, to)
	}
	return showDate(from)
}

// dateGiven returns the date of a record as it stands there, of a period the beginning, or
// the end if it has none; "" if it has no date.
func dateGiven(n *node) string {
	from, to, _ := spanGiven(n)
	if from == "" {
		return to
	}
	return from
}

// spanGiven returns the ends of the date of a record as they stand there; long says that
// it is a period.
func spanGiven(n *node) (from, to string, long bool) {
	for _, m := range dates {
		if d := n.str(m); d != "" {
			return d, "", false
		}
		if p := n.get(m); p.str("start") != "" || p.str("end") != "" {
			return p.str("start"), p.str("end"), true
		}
	}
	if p := n.get("context").get("period"); p != nil { // of a document: that of its visit
		return p.str("start"), p.str("end"), true
	}
	return "", "", false
}

// TitleOf is what a record says of its own kind or subject, such as the title of a note,
// with what says that it is not so: Letter (entered in error). It is "" if the record says
// neither.
func TitleOf(raw []byte) string {
	tree, err := parseTree(slim(raw))
	if err != nil {
		return ""
	}
	return join(" ", kindOf(&tree), paren(voidWords(&tree)))
}

// DateOf returns the date of a record as it is given; "" if it has none.
func DateOf(raw []byte) string {
	tree, err := parseTree(raw)
	if err != nil {
		return ""
	}
	return dateOf(&tree)
}

func authorOf(n *node, r Resource, f Finder) string {
	known := newNames(f)
	var out []string
	for _, m := range []string{"author", "performer", "operator"} {
		list := n.get(m)
		if list == nil {
			continue
		}
		refs := list.kids
		if list.kind == object {
			refs = []node{*list}
		}
		for i := range refs {
			name := known.called(refs[i].str("reference"), refs[i].str("display"))
			if name == "" {
				name = CleanLine(refs[i].str("reference"))
			}
			out = append(out, name)
		}
	}
	return join(", ", out...)
}

// BinaryID returns the id of the Binary of the source at base that an attachment's url
// names; "" if it names none.
func (a *Attachment) BinaryID(base string) string {
	url, _, _ := strings.Cut(a.URL, "?")
	if typ, id := Target(url, base); typ == "Binary" {
		return id
	}
	return ""
}
