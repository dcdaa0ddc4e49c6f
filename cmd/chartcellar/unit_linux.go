package main

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/template"
	"unicode"
)

// unitName is the name of the service.
const unitName = "chartcellar.service"

// unitTemplate is the unit file; docs/service.md says why each line is there.
//
//go:embed unit.tmpl
var unitTemplate string

// A unit is what differs from one unit file to another.
type unit struct {
	Program  string   // full path
	Settings string   // full path
	Account  string   // "" in a unit of a user, which has fewer walls
	Folders  []string // in which the program writes
	Reads    []string // files and folders that it must see
	Sealed   string   // the sealed box key, "" if there is none
}

// text returns the unit file. Its first line carries a hash of the rest, by which
// install knows a file that it wrote.
func (u unit) text() (string, error) {
	for _, p := range append([]string{u.Program, u.Settings, u.Account, u.Sealed}, slices.Concat(u.Folders, u.Reads)...) {
		if strings.ContainsFunc(p, unicode.IsControl) {
			return "", usage(fmt.Sprintf("a unit cannot name a path with a line break or another control character in it: %q", p))
		}
	}
	if strings.ContainsAny(u.Program, `"'\`) {
		return "", usage("systemd starts no program with a quote or a backslash in its path: " + u.Program)
	}
	t, err := template.New("unit").Funcs(template.FuncMap{"program": unitProgram, "word": unitWord, "path": unitPath, "raw": unitRaw}).Parse(unitTemplate)
	if err != nil {
		return "", err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, u); err != nil {
		return "", err
	}
	return unitMark(b.String()) + b.String(), nil
}

// unitMark is the first line of a unit that install wrote.
func unitMark(rest string) string {
	return fmt.Sprintf("# Written by \"chartcellar service install\" (%x). Changes: systemctl edit chartcellar\n", sha256.Sum256([]byte(rest)))
}

// ownUnit reports whether install wrote a unit file, and nobody changed it since.
func ownUnit(text string) bool {
	first, rest, _ := strings.Cut(text, "\n")
	return first+"\n" == unitMark(rest)
}

// InHome returns the folders that ProtectHome= would hide.
func (u unit) InHome() []string { return hidden(u.Folders) }

// ReadsInHome returns the files to be read that ProtectHome= would hide, and that
// are in none of the folders.
func (u unit) ReadsInHome() []string {
	return slices.DeleteFunc(hidden(append([]string{u.Program}, u.Reads...)), func(p string) bool {
		return slices.ContainsFunc(u.Folders, func(f string) bool { return inside(f, p) })
	})
}

func hidden(paths []string) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool {
		return !inside("/home", p) && !inside("/root", p) && !inside("/run/user", p)
	})
}

// System reports whether the unit is one of the whole computer.
func (u unit) System() bool { return u.Account != "" }

// unitRaw escapes what stands alone to the end of a line: only % means something.
func unitRaw(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// unitPath quotes a path in a list of paths.
func unitPath(s string) string { return `"-` + quoted(s) + `"` }

// unitProgram quotes the program of a command line: in it, $ means nothing.
func unitProgram(s string) string { return `"` + quoted(s) + `"` }

// unitWord quotes a further word of a command line.
func unitWord(s string) string { return `"` + strings.ReplaceAll(quoted(s), "$", "$$") + `"` }

func quoted(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`).Replace(s)
}

// unitFolders returns the folders without doubles and without those inside
// others.
func unitFolders(list ...string) []string {
	var out []string
	for _, f := range list {
		if f == "" {
			continue
		}
		f = filepath.Clean(f)
		if slices.ContainsFunc(out, func(o string) bool { return inside(o, f) }) {
			continue
		}
		out = append(slices.DeleteFunc(out, func(o string) bool { return inside(f, o) }), f)
	}
	return out
}
