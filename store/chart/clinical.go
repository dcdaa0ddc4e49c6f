package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"time"
	"unicode"
)

// A Clinical is a clinical document (C-CDA): what its header says, and the readable
// text of its sections. What the document does not say is empty.
type Clinical struct {
	Title, Date string
	Authors     []string
	Patient     string // name, as the document has it
	Born        string
	Sections    []ClinicalSection
	// Inside names the content type of the file that such a document may hold instead
	// of sections.
	Inside string

	file    strings.Builder // that file, as it is written
	encoded bool            // in base64
}

// File returns the file that the document holds instead of sections; nil if it holds
// none, or one that cannot be read.
func (c *Clinical) File() []byte {
	if !c.encoded {
		if text := strings.TrimSpace(c.file.String()); text != "" {
			return []byte(text)
		}
		return nil
	}
	b, err := decode64(c.file.String())
	if err != nil || len(b) == 0 {
		return nil
	}
	return b
}

// A ClinicalSection is one section, in the order of the document.
type ClinicalSection struct {
	Title   string
	Code    string // what the code of the section says, with the code
	Level   int    // 1; 2 for a section within a section, and so on
	Entries int    // coded entries, which are not shown: the text stands for them
	Text    Markup
}

// Left says in words what was left out of the texts that somebody might look for.
func (c *Clinical) Left() []string {
	var list []Markup
	for _, s := range c.Sections {
		list = append(list, s.Text)
	}
	return leftWords(list...)
}

// Another says in a sentence why the document may be about another patient than e; ""
// if nothing says so.
func (c *Clinical) Another(e *Entry) string {
	words := func(s string) []string {
		return strings.FieldsFunc(Fold(s), func(r rune) bool { return !unicode.IsLetter(r) })
	}
	theirs := words(c.Patient)
	ours := words(strings.Join(append(e.Others, e.Name), " "))
	switch {
	case !strings.HasPrefix(c.Born, e.Born) && !strings.HasPrefix(e.Born, c.Born): // one may be a year alone
		return "The document gives another birth date than this patient has. Is it about somebody else?"
	case len(theirs) > 0 && len(ours) > 0 && !slices.ContainsFunc(theirs, func(w string) bool { return slices.Contains(ours, w) }):
		return "The document names somebody else than this patient. Is it about somebody else?"
	}
	return ""
}

// maxElements is how deep elements of a clinical document stand in each other;
// what is deeper is no clinical document.
const maxElements = 200

var errNotClinical = errors.New("not a clinical document")

// ReadClinical reads a clinical document by its sections. It fails if the document
// is not well-formed, or is another kind of XML: Text then has its words.
func ReadClinical(contentType string, b []byte) (*Clinical, error) {
	r := clinicalReader{newText: func() sink { return newMarkupWriter() }}
	if err := r.read(DecodeText(contentType, b)); err != nil {
		return nil, err
	}
	for i, text := range r.texts {
		if text != nil {
			r.doc.Sections[i].Text = text.(*markupWriter).markup()
		}
	}
	return &r.doc, nil
}

// clinicalText returns the title and the narrative of every section; of a document
// that is not well-formed, its words.
func clinicalText(s string) string {
	r := clinicalReader{newText: func() sink { return new(textWriter) }}
	if err := r.read(s); err != nil {
		return strings.TrimSpace(htmlText(s))
	}
	var b strings.Builder
	b.WriteString(r.doc.Title)
	for i, section := range r.doc.Sections {
		b.WriteString("\n\n" + strings.ToUpper(section.Title) + "\n")
		if text := r.texts[i]; text != nil {
			b.WriteString(text.(*textWriter).text())
		}
	}
	if r.doc.Inside != "" {
		b.WriteString("\n\nThis document holds a file of the type " + FormatName(r.doc.Inside) + " instead of text.")
	}
	return strings.TrimSpace(squeezeLines(b.String()))
}

// A clinicalReader walks through a document once.
type clinicalReader struct {
	doc     Clinical
	newText func() sink
	texts   []sink // of each section; nil: it has no text

	path    []string
	open    []int // the sections in which we are, innermost last
	text    sink  // the narrative in which we are
	textAt  int   // how deep it begins
	words   strings.Builder
	wordsAt int // how deep the element is whose words are kept; 0: none
	entryAt int // how deep the coded entry is in which we are; 0: in none
}

func (r *clinicalReader) read(s string) error {
	d := xml.NewDecoder(strings.NewReader(s))
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil } // it is UTF-8 by now
	d.Entity = xml.HTMLEntity
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.StartElement:
			r.path = append(r.path, t.Name.Local)
			if len(r.path) > maxElements || r.path[0] != "ClinicalDocument" {
				return errNotClinical
			}
			r.start(t)
		case xml.EndElement:
			r.end(t.Name.Local)
			r.path = r.path[:len(r.path)-1]
		case xml.CharData:
			r.chars(string(t))
		}
	}
	if len(r.doc.Sections) == 0 && r.doc.Inside == "" {
		return errNotClinical
	}
	return nil
}

// in reports whether we are in an element with these elements around it, outermost
// first, just below the document.
func (r *clinicalReader) in(path ...string) bool { return slices.Equal(r.path[1:], path) }

// below reports whether we are in an element of this name in another of that name.
func (r *clinicalReader) below(parent, name string) bool {
	n := len(r.path)
	return n >= 2 && r.path[n-1] == name && r.path[n-2] == parent
}

func (r *clinicalReader) start(t xml.StartElement) {
	switch {
	case r.entryAt > 0:
	case r.text != nil:
		r.text.start(clinicalTag(t))
	case t.Name.Local == "section":
		r.open = append(r.open, len(r.doc.Sections))
		r.doc.Sections = append(r.doc.Sections, ClinicalSection{Level: len(r.open)})
		r.texts = append(r.texts, nil)
	case r.below("nonXMLBody", "text"):
		r.doc.Inside = CleanLine(attr(t, "mediaType"))
		if r.doc.Inside == "" {
			r.doc.Inside = "application/octet-stream"
		}
		r.doc.encoded = strings.EqualFold(attr(t, "representation"), "B64")
	case r.in("effectiveTime"):
		r.doc.Date = clinicalDate(attr(t, "value"))
	case r.in("recordTarget", "patientRole", "patient", "birthTime"):
		r.doc.Born, _, _ = strings.Cut(clinicalDate(attr(t, "value")), " ")
	case r.kept():
		r.words.Reset()
		r.wordsAt = len(r.path)
	case len(r.open) > 0:
		r.startInSection(t)
	}
}

// kept reports whether the words of the element in which we are, are facts.
func (r *clinicalReader) kept() bool {
	return r.in("title") || len(r.open) > 0 && r.below("section", "title") ||
		r.in("recordTarget", "patientRole", "patient", "name") && r.doc.Patient == "" ||
		r.in("author", "assignedAuthor", "assignedPerson", "name") ||
		r.in("author", "assignedAuthor", "assignedAuthoringDevice", "softwareName") ||
		r.in("author", "assignedAuthor", "representedOrganization", "name")
}

func (r *clinicalReader) startInSection(t xml.StartElement) {
	at := r.open[len(r.open)-1]
	section := &r.doc.Sections[at]
	switch {
	case r.below("section", "text"):
		r.text, r.textAt = r.newText(), len(r.path)
		r.texts[at] = r.text
	case r.below("section", "code"):
		section.Code = CleanLine(join(" ", attr(t, "displayName"), attr(t, "codeSystemName"), attr(t, "code")))
	case r.below("section", "entry"):
		section.Entries++
		r.entryAt = len(r.path)
	}
}

func (r *clinicalReader) end(name string) {
	switch {
	case len(r.path) == r.entryAt:
		r.entryAt = 0
	case r.entryAt > 0:
	case r.text != nil && len(r.path) == r.textAt:
		r.text = nil
	case r.text != nil:
		r.text.end(strings.ToLower(name))
	case len(r.path) == r.wordsAt:
		r.wordsAt = 0
		r.keep(CleanLine(r.words.String()))
	case name == "section":
		r.open = r.open[:len(r.open)-1]
	}
}

// keep puts the words of the element that ends where they belong.
func (r *clinicalReader) keep(words string) {
	switch {
	case r.in("title"):
		r.doc.Title = words
	case len(r.open) > 0:
		r.doc.Sections[r.open[len(r.open)-1]].Title = words
	case r.path[1] == "recordTarget":
		r.doc.Patient = words
	case words != "" && !slices.Contains(r.doc.Authors, words):
		r.doc.Authors = append(r.doc.Authors, words)
	}
}

func (r *clinicalReader) chars(s string) {
	switch {
	case r.text != nil && len(r.path) == r.textAt && strings.TrimSpace(s) != "":
		for i, line := range strings.Split(s, "\n") { // some write whole notes here, with line breaks
			if i > 0 {
				r.text.start(tag{name: "br", empty: true})
			}
			r.text.words(line)
		}
	case r.text != nil:
		r.text.words(s)
	case r.wordsAt > 0:
		r.words.WriteString(s + " ")
	case r.below("nonXMLBody", "text"):
		r.doc.file.WriteString(s)
	}
}

func attr(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func clinicalTag(t xml.StartElement) tag {
	out := tag{name: strings.ToLower(t.Name.Local)}
	for _, a := range t.Attr {
		out.set(a.Name.Local, a.Value)
	}
	return out
}

// clinicalDate writes a point in time of C-CDA, 20260301143000-0500, as dates are
// written here; of another form, as it is.
func clinicalDate(s string) string {
	digits, _, _ := strings.Cut(strings.ReplaceAll(s, "+", "-"), "-")
	digits, _, _ = strings.Cut(digits, ".")
	for layout, show := range map[string]string{"20060102150405": "2006-01-02 15:04", "200601021504": "2006-01-02 15:04",
		"20060102": "2006-01-02", "200601": "2006-01", "2006": "2006"} {
		if len(digits) == len(layout) {
			if t, err := time.Parse(layout, digits); err == nil {
				return strings.TrimSuffix(t.Format(show), " 00:00")
			}
		}
	}
	return CleanLine(s)
}
