package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
	"golang.org/x/text/width"

	"chartcellar/store/chart"
)

// lineWidth is how wide text is where there is no terminal to ask.
const lineWidth = 110

// width returns how many columns the reader has.
func (e *env) width() int {
	if f, ok := e.Stdout.(*os.File); ok && e.Terminal {
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w >= 40 {
			return w
		}
	}
	return lineWidth
}

// columns returns how many columns a text takes on a terminal.
func columns(s string) (n int) {
	for _, r := range s {
		switch k := width.LookupRune(r).Kind(); {
		case unicode.Is(unicode.Mn, r) || r == 0x200b || r == 0x200d || r == 0xfeff:
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}

// printTable prints rows in columns, each as wide as it needs to be; what does not
// fit goes on in the next line: nothing is cut. Columns that are empty in all rows
// are left out. more stands below a row.
func printTable(w io.Writer, indent string, wide int, head []string, rows [][]string, more []string) {
	widths, least := make([]int, len(head)), make([]int, len(head))
	for _, row := range rows {
		for i, c := range row {
			if c == "" {
				continue
			}
			widths[i] = max(widths[i], columns(c), columns(head[i]))
			for w := range strings.FieldsSeq(head[i] + " " + c) {
				least[i] = max(least[i], min(longWord, columns(w)))
			}
		}
	}
	shrink(widths, least, wide-columns(indent))
	printRow(w, indent, widths, head)
	for i, row := range rows {
		printRow(w, indent, widths, row)
		if i < len(more) && more[i] != "" {
			for _, l := range wrap(more[i], wide-columns(indent)-4) {
				fmt.Fprintf(w, "%s    %s\n", indent, l)
			}
		}
	}
}

// longWord is from how many columns on a word may be broken: a shorter one, such as
// an id, stays whole, so that it can be copied.
const longWord = 40

// shrink makes the widest columns narrower until all fit, or none can be.
func shrink(widths, least []int, room int) {
	for {
		sum, widest := -2, -1
		for i, n := range widths {
			if n > 0 {
				sum += n + 2
			}
			if n > least[i] && (widest < 0 || n > widths[widest]) {
				widest = i
			}
		}
		if sum <= room || widest < 0 {
			return
		}
		widths[widest]--
	}
}

func printRow(w io.Writer, indent string, widths []int, row []string) {
	cells := make([][]string, len(row))
	lines, last := 1, 0
	for i, n := range widths {
		if n > 0 {
			last = i
		}
	}
	for i, c := range row {
		if widths[i] > 0 {
			cells[i] = breakLines(c, widths[i], i == last)
			lines = max(lines, len(cells[i]))
		}
	}
	for l := range lines {
		var b strings.Builder
		for i := range cells {
			if widths[i] == 0 {
				continue
			}
			text := ""
			if l < len(cells[i]) {
				text = cells[i][l]
			}
			b.WriteString(text + strings.Repeat(" ", max(0, widths[i]-columns(text))+2))
		}
		fmt.Fprintln(w, strings.TrimRight(indent+b.String(), " "))
	}
}

// wrap breaks a text into lines of at most n columns, between words where it can.
func wrap(s string, n int) []string { return breakLines(s, n, true) }

// breakLines is wrap; whole says that a word which is too long stays whole, because
// nothing stands to the right of it.
func breakLines(s string, n int, whole bool) []string {
	n = max(n, 8)
	var out []string
	s = chart.Clean(s) // an id may be any text
	for para := range strings.SplitSeq(s, "\n") {
		line := ""
		for word := range strings.FieldsSeq(para) {
			for columns(word) > n && !whole {
				if line != "" {
					out, line = append(out, line), ""
				}
				head := cutAt(word, n)
				out = append(out, head)
				word = word[len(head):]
			}
			switch {
			case line == "":
				line = word
			case columns(line)+1+columns(word) <= n:
				line += " " + word
			default:
				out, line = append(out, line), word
			}
		}
		out = append(out, line)
	}
	return out
}

// cutAt returns the beginning of a word that takes at most n columns.
func cutAt(word string, n int) string {
	for i := range word {
		if i > 0 && columns(word[:i]) > n-1 {
			return word[:i]
		}
	}
	return word
}
