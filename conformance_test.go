package chartcellar_test

import (
	"fmt"
	"go/ast"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	itemRow = regexp.MustCompile(`(?m)^\| ([PF]\d+) \| ([^|]+) \| ([^|]+) \|(.*)\|$`)
	quoted  = regexp.MustCompile("`([^`]+)`")
	cited   = regexp.MustCompile(`\b[PF]\d{1,3}\b`)
)

// A conformance is one row of docs/conformance.md.
type conformance struct {
	item, state string
	code, tests []string
}

func conformances(t *testing.T, text string) (list []conformance) {
	t.Helper()
	for _, m := range itemRow.FindAllStringSubmatch(text, -1) {
		c := conformance{item: m[1], state: m[3]}
		cells := strings.Split(m[4], "|")
		tests := cells[len(cells)-1]
		for _, q := range quoted.FindAllStringSubmatch(tests, -1) {
			c.tests = append(c.tests, q[1])
		}
		if len(cells) == 2 {
			for _, q := range quoted.FindAllStringSubmatch(cells[0], -1) {
				c.code = append(c.code, q[1])
			}
		}
		list = append(list, c)
	}
	return list
}

// declared returns what a file declares at its top: functions, methods, types,
// constants and variables, by name.
func declared(s source) map[string]bool {
	names := map[string]bool{}
	for _, d := range s.file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			names[d.Name.Name] = true
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					names[spec.Name.Name] = true
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						names[n.Name] = true
					}
				}
			}
		}
	}
	return names
}

// dishonest says what is wrong with the rows, given what each file, and the tests
// of each folder, declare.
func dishonest(list []conformance, files, tests map[string]map[string]bool, exists func(string) bool) (bad []string) {
	wrong := func(c conformance, format string, a ...any) {
		bad = append(bad, c.item+": "+fmt.Sprintf(format, a...))
	}
	for _, c := range list {
		word, why, _ := strings.Cut(c.state, ":")
		switch {
		case !slices.Contains([]string{"met", "partly", "later", "not planned"}, word):
			wrong(c, "the state %q is none", c.state)
		case word != "met" && strings.TrimSpace(why) == "":
			wrong(c, "%s, and not why", word)
		case (word == "met" || word == "partly") && (len(c.tests) == 0 || c.item[0] == 'P' && len(c.code) == 0):
			wrong(c, "%s without code or test", word)
		case (word == "later" || word == "not planned") && len(c.code)+len(c.tests) > 0:
			wrong(c, "%s, with code or test", word)
		}
		for _, ref := range c.code {
			file, name, _ := strings.Cut(ref, "#")
			if !files[file][name] || strings.HasSuffix(file, "_test.go") {
				wrong(c, "%s is not there", ref)
			}
		}
		for _, ref := range c.tests {
			dir, name, isTest := strings.Cut(ref, "#")
			if isTest && !tests[dir][name] || !isTest && (!exists(ref) || !strings.HasSuffix(ref, ".txtar")) {
				wrong(c, "the test %s is not there", ref)
			}
		}
	}
	return bad
}

// TestConformance keeps docs/conformance.md honest.
func TestConformance(t *testing.T) {
	text, err := os.ReadFile("docs/conformance.md")
	if err != nil {
		t.Fatal(err)
	}
	list := conformances(t, string(text))
	files, tests := map[string]map[string]bool{}, map[string]map[string]bool{}
	cites := map[string]string{} // item -> where
	for _, s := range sources(t) {
		names := declared(s)
		files[s.path] = names
		if s.test() {
			if tests[path.Dir(s.path)] == nil {
				tests[path.Dir(s.path)] = map[string]bool{}
			}
			for name := range names {
				if strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") {
					tests[path.Dir(s.path)][name] = true
				}
			}
		}
		for _, group := range s.file.Comments {
			for _, item := range cited.FindAllString(group.Text(), -1) {
				cites[item] = s.path
			}
		}
	}
	exists := func(name string) bool { _, err := os.Stat(name); return err == nil }
	for _, bad := range dishonest(list, files, tests, exists) {
		t.Error(bad)
	}
	rows := map[string]int{}
	for _, c := range list {
		rows[c.item]++
	}
	for kind, last := range map[string]int{"P": 158, "F": 30} {
		for n := 1; n <= last; n++ {
			if item := fmt.Sprint(kind, n); rows[item] != 1 {
				t.Errorf("%s stands there %d times, want once", item, rows[item])
			}
		}
	}
	for item, where := range cites {
		if !regexp.MustCompile(`\b` + item + `\b`).Match(text) {
			t.Errorf("%s cites %s, which is not in docs/conformance.md", where, item)
		}
	}
}

// TestConformanceBites: each lie in the map is found.
func TestConformanceBites(t *testing.T) {
	files := map[string]map[string]bool{"a/x.go": {"F": true}}
	tests := map[string]map[string]bool{"a": {"TestF": true}}
	for _, line := range []string{
		"| P1 | x | done | `a/x.go#F` | `a#TestF` |",
		"| P1 | x | met | `a/x.go#G` | `a#TestF` |",
		"| P1 | x | met | `a/y.go#F` | `a#TestF` |",
		"| P1 | x | met | `a/x.go#F` | `a#TestG` |",
		"| P1 | x | met | `a/x.go#F` | `a/none.txtar` |",
		"| P1 | x | met | `a/x.go#F` |  |",
		"| P1 | x | met |  | `a#TestF` |",
		"| P1 | x | partly | `a/x.go#F` | `a#TestF` |",
		"| P1 | x | later |  |  |",
		"| P1 | x | later: soon | `a/x.go#F` |  |",
		"| F1 | x | met |  |",
	} {
		list := conformances(t, line)
		if len(list) != 1 || len(dishonest(list, files, tests, func(string) bool { return false })) == 0 {
			t.Errorf("not found: %s", line)
		}
	}
	good := conformances(t, "| P1 | x | met | `a/x.go#F` | `a#TestF` |\n| P2 | x | later: soon |  |  |\n| F1 | x | met | `a#TestF` |")
	if bad := dishonest(good, files, tests, func(string) bool { return false }); len(good) != 3 || len(bad) > 0 {
		t.Errorf("%d rows, %v", len(good), bad)
	}
}
