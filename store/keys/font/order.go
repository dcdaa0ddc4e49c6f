package font

import (
	"slices"
	"strings"

	"github.com/go-text/typesetting/language"
	"golang.org/x/text/unicode/bidi"
)

// A run is letters of one script and direction in one face.
type run struct {
	text []rune
	left bool  // it is read from right to left
	face *face // nil: no face has them
}

// separators stand between things that are said one after the other: each is put in its
// own order, so that a name from right to left does not turn what stands beside it.
var separators = []string{" · ", "; "}

// runs returns a line as it stands on paper, from left to right.
func runs(line string) (list []run) {
	for line != "" {
		end := len(line)
		for _, s := range separators {
			if i := strings.Index(line[:end], s); i >= 0 {
				end = i
			}
		}
		if end == 0 {
			end = len(separators[0]) // what stands between
			for _, s := range separators {
				if strings.HasPrefix(line, s) {
					end = len(s)
				}
			}
		}
		list = append(list, ordered(line[:end])...)
		line = line[end:]
	}
	return list
}

// ordered puts one thing in its order. Package bidi says which parts are read from right
// to left, not in which order the parts stand: turned embeds nothing deeper than a number
// or a foreign word in text from right to left, for nobody can put marks of embedding into
// what is printed (chart.Clean makes them visible).
func ordered(s string) (list []run) {
	var p bidi.Paragraph
	if _, err := p.SetString(s); err != nil {
		return parts([]rune(s), false)
	}
	o, err := p.Order()
	if err != nil {
		return parts([]rune(s), false)
	}
	var logical []run
	for i := range o.NumRuns() {
		r := o.Run(i)
		logical = append(logical, run{text: []rune(r.String()), left: r.Direction() == bidi.RightToLeft})
	}
	for _, r := range turned(logical, leftward(s)) {
		list = append(list, parts(r.text, r.left)...)
	}
	return list
}

// leftward reports whether a text begins with a letter that is read from right to left.
func leftward(s string) bool {
	for _, r := range s {
		switch p, _ := bidi.LookupRune(r); p.Class() {
		case bidi.R, bidi.AL:
			return true
		case bidi.L:
			return false
		}
	}
	return false
}

// turned puts runs in the order in which they stand.
func turned(logical []run, leftward bool) (out []run) {
	if leftward {
		slices.Reverse(logical)
		return logical
	}
	var group []run // from right to left, with the numbers in it
	flush := func() {
		slices.Reverse(group)
		out, group = append(out, group...), nil
	}
	for _, r := range logical {
		if r.left {
			group = append(group, r)
			continue
		}
		if n := number(r.text); len(group) > 0 && n > 0 {
			group = append(group, run{text: r.text[:n]})
			r.text = r.text[n:]
		}
		if len(r.text) > 0 {
			flush()
			out = append(out, r)
		}
	}
	flush()
	return out
}

// number returns how long the number is with which a text begins.
func number(text []rune) (n int) {
	for i, r := range text {
		switch p, _ := bidi.LookupRune(r); p.Class() {
		case bidi.EN, bidi.AN:
			n = i + 1
		case bidi.ES, bidi.CS, bidi.ET, bidi.NSM:
		default:
			return n
		}
	}
	return n
}

// parts takes a run apart by script and face, in the order in which the parts stand.
func parts(text []rune, left bool) (list []run) {
	script := language.Common
	for _, r := range text {
		last := len(list) - 1
		var before *face
		if last >= 0 {
			before = list[last].face
		}
		f, s := faceOf(r, before), language.LookupScript(r)
		if !s.Strong() {
			s = script
		}
		if last < 0 || f != before || s != script && script.Strong() {
			list = append(list, run{face: f, left: left})
			last++
		}
		list[last].text, script = append(list[last].text, r), s
	}
	if left {
		slices.Reverse(list)
	}
	return list
}
