package chart

import (
	"fmt"
	"html"
	"slices"
	"strconv"
	"strings"
)

// A Markup is HTML that shows text and does nothing else: it loads nothing, runs
// nothing, leads nowhere and has no style of its own. Only this package can make
// one that is not empty.
//
// Every element is one of a short list, without attributes but for colspan and
// rowspan; each that was opened is closed again. What is not on the list is left
// out and its words stay, but for those of scripts and style sheets.
type Markup struct {
	html string
	left map[string]int
}

// HTML returns the markup, to be put into a page as it is.
func (m Markup) HTML() string { return m.html }

// Left says in words what was left out that somebody might look for: "2 pictures".
func (m Markup) Left() []string { return leftWords(m) }

// leftWords says what was left out of several together.
func leftWords(list ...Markup) []string {
	all := map[string]int{}
	for _, m := range list {
		for what, n := range m.left {
			all[what] += n
		}
	}
	var out []string
	for what, n := range all {
		if n > 1 {
			what += "s"
		}
		out = append(out, fmt.Sprintf("%d %s", n, what))
	}
	slices.Sort(out)
	return out
}

// Empty reports whether there is nothing to read.
func (m Markup) Empty() bool { return m.html == "" }

// SafeHTML makes foreign HTML or XHTML safe: the narrative of a record, a web page.
// It reads everything, however broken, and never fails.
func SafeHTML(s string) Markup {
	w := newMarkupWriter()
	readHTML(s, w)
	return w.markup()
}

// A sink takes a document apart into tags and words, in order. Tags need not fit
// together.
type sink interface {
	start(t tag)
	end(name string)
	words(s string)
}

// A tag is one that opens, with those of its attributes that mean something here.
type tag struct {
	name                     string // in small letters
	colspan, rowspan         string
	alt                      string
	listType, style, revised string // of C-CDA
	empty                    bool   // it has no inside
}

// set keeps an attribute if it means something.
func (t *tag) set(name, value string) {
	switch strings.ToLower(name) {
	case "colspan":
		t.colspan = value
	case "rowspan":
		t.rowspan = value
	case "alt":
		t.alt = value
	case "listtype":
		t.listType = value
	case "stylecode":
		t.style = value
	case "revised":
		t.revised = value
	}
}

// allowed are the elements that may stand in a Markup; true: they have no inside.
var allowed = map[string]bool{"p": false, "div": false, "span": false, "br": true, "hr": true, "pre": false,
	"blockquote": false, "h1": false, "h2": false, "h3": false, "h4": false, "h5": false, "h6": false,
	"ul": false, "ol": false, "li": false, "dl": false, "dt": false, "dd": false,
	"table": false, "caption": false, "thead": false, "tbody": false, "tfoot": false, "tr": false, "th": false, "td": false,
	"b": false, "strong": false, "i": false, "em": false, "u": false, "s": false, "del": false, "ins": false,
	"sub": false, "sup": false, "small": false, "code": false, "mark": false}

// instead are elements that are written as another: those of C-CDA, and old ones
// of HTML.
var instead = map[string]string{"paragraph": "p", "list": "ul", "item": "li", "content": "span", "footnote": "small",
	"title": "p", "strike": "s", "tt": "code", "kbd": "code", "samp": "code", "listing": "pre", "xmp": "pre",
	"center": "div", "section": "div", "article": "div", "header": "div", "footer": "div", "main": "div", "aside": "div",
	"nav": "div", "address": "div", "figure": "div", "figcaption": "div", "fieldset": "div", "legend": "p",
	"form": "div", "details": "div", "summary": "p", "dir": "ul", "menu": "ul", "cite": "i", "var": "i", "dfn": "i"}

// silent are the elements whose words nobody is to read.
var silent = map[string]bool{"script": true, "style": true}

// missed are elements that cannot be shown, and what to call them.
var missed = map[string]string{"script": "script", "img": "picture", "image": "picture", "svg": "picture",
	"rendermultimedia": "picture", "canvas": "picture", "object": "embedded file", "embed": "embedded file",
	"applet": "embedded file", "video": "recording", "audio": "recording", "iframe": "frame", "frame": "frame",
	"input": "form field", "select": "form field", "textarea": "form field", "button": "form field"}

// ends says which open elements an element ends if they were left open, and which
// it does not look beyond.
var ends = map[string]struct{ open, beyond []string }{
	"li": {[]string{"li"}, []string{"ul", "ol", "table"}},
	"dt": {[]string{"dt", "dd"}, []string{"dl", "table"}}, "dd": {[]string{"dt", "dd"}, []string{"dl", "table"}},
	"td": {[]string{"td", "th"}, []string{"tr", "table"}}, "th": {[]string{"td", "th"}, []string{"tr", "table"}},
	"tr":    {[]string{"tr", "caption"}, []string{"table"}},
	"thead": {[]string{"thead", "tbody", "tfoot", "caption"}, []string{"table"}},
	"tbody": {[]string{"thead", "tbody", "tfoot", "caption"}, []string{"table"}},
	"tfoot": {[]string{"thead", "tbody", "tfoot", "caption"}, []string{"table"}},
}

// endParagraph are the elements that end a paragraph that was left open.
var endParagraph = []string{"p", "div", "ul", "ol", "dl", "table", "pre", "blockquote", "hr", "h1", "h2", "h3", "h4", "h5", "h6"}

// deepestMarkup is how deep elements of a Markup stand in each other. What is deeper is
// written as if it stood there.
const deepestMarkup = 64

// A markupWriter is a sink that writes a Markup.
type markupWriter struct {
	out    strings.Builder
	open   []string
	over   int // elements that were too deep to be opened
	quiet  int // open elements that nobody is to read
	missed map[string]int
}

func newMarkupWriter() *markupWriter { return &markupWriter{missed: map[string]int{}} }

func (w *markupWriter) markup() Markup {
	w.closeTo(0)
	return Markup{html: strings.TrimSpace(w.out.String()), left: w.missed}
}

func (w *markupWriter) start(t tag) {
	if what := missed[t.name]; what != "" {
		w.missed[what]++
		if what == "picture" {
			w.words("[" + join(": ", "picture", CleanLine(t.alt)) + "]")
		}
	}
	if silent[t.name] {
		if !t.empty {
			w.quiet++
		}
		return
	}
	name := w.written(t)
	void, ok := allowed[name]
	if !ok || w.quiet > 0 {
		return
	}
	w.endImplied(name)
	if void {
		w.out.WriteString("<" + name + ">")
		return
	}
	if len(w.open) >= deepestMarkup {
		if !t.empty {
			w.over++
		}
		return
	}
	w.out.WriteString("<" + name)
	if name == "td" || name == "th" {
		w.spans("colspan", t.colspan)
		w.spans("rowspan", t.rowspan)
	}
	w.out.WriteByte('>')
	w.open = append(w.open, name)
	if t.empty {
		w.closeTo(len(w.open) - 1)
	}
}

// written returns as what an element is written; "" if it is not.
func (w *markupWriter) written(t tag) string {
	switch {
	case t.name == "list" && strings.EqualFold(t.listType, "ordered"):
		return "ol"
	case t.name == "caption" && w.top() != "table":
		return "p"
	case t.name == "content" && t.revised == "delete":
		return "del"
	case t.name == "content" && t.revised == "insert":
		return "ins"
	case t.name == "content" && strings.Contains(t.style, "Bold"):
		return "b"
	case t.name == "content" && strings.Contains(t.style, "Italics"):
		return "i"
	case t.name == "content" && strings.Contains(t.style, "Underline"):
		return "u"
	}
	if other := instead[t.name]; other != "" {
		return other
	}
	return t.name
}

func (w *markupWriter) top() string {
	if len(w.open) == 0 {
		return ""
	}
	return w.open[len(w.open)-1]
}

// spans writes over how many columns or rows a cell goes, if that is a number that
// a table can have.
func (w *markupWriter) spans(name, value string) {
	if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && n > 1 && n <= 200 {
		fmt.Fprintf(&w.out, ` %s="%d"`, name, n)
	}
}

// endImplied closes what an element ends by its beginning.
func (w *markupWriter) endImplied(name string) {
	if slices.Contains(endParagraph, name) && w.top() == "p" {
		w.closeTo(len(w.open) - 1)
	}
	rule, ok := ends[name]
	if !ok {
		return
	}
	for i := len(w.open) - 1; i >= 0 && !slices.Contains(rule.beyond, w.open[i]); i-- {
		if slices.Contains(rule.open, w.open[i]) {
			w.closeTo(i)
			return
		}
	}
}

// closeTo closes what is open until only n elements are.
func (w *markupWriter) closeTo(n int) {
	for len(w.open) > n {
		w.out.WriteString("</" + w.top() + ">")
		w.open = w.open[:len(w.open)-1]
	}
}

// closes are the elements as which one of C-CDA may have been written.
var closes = map[string][]string{"list": {"ul", "ol"}, "content": {"span", "b", "i", "u", "del", "ins"},
	"caption": {"caption", "p"}}

func (w *markupWriter) end(name string) {
	if silent[name] {
		w.quiet = max(0, w.quiet-1)
		return
	}
	names := closes[name]
	if names == nil {
		if instead[name] != "" {
			name = instead[name]
		}
		names = []string{name}
	}
	if void, ok := allowed[names[0]]; w.quiet > 0 || !ok || void {
		return
	}
	if w.over > 0 {
		w.over--
		return
	}
	for i := len(w.open) - 1; i >= 0; i-- {
		if slices.Contains(names, w.open[i]) {
			w.closeTo(i)
			return
		}
		if w.open[i] == "table" {
			return // what ends in a table does not end what is around it
		}
	}
}

func (w *markupWriter) words(s string) {
	if w.quiet == 0 {
		w.out.WriteString(html.EscapeString(Clean(s)))
	}
}
