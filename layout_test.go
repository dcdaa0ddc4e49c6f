// Package chartcellar_test checks how the sources are laid out: the rules of
// docs/design.md that a compiler does not know.
package chartcellar_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A source is one parsed Go file.
type source struct {
	path string // with '/'
	fset *token.FileSet
	file *ast.File
	text []byte
}

func (s source) dir() string { return path.Dir(s.path) }
func (s source) test() bool  { return strings.HasSuffix(s.path, "_test.go") }

func sources(t *testing.T) []source {
	t.Helper()
	var list []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == ".git" || d.Name() == ".ci" || d.Name() == "testdata") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		s, err := parse(filepath.ToSlash(p), text)
		list = append(list, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func parse(p string, text []byte) (source, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, p, text, parser.ParseComments)
	return source{p, fset, file, text}, err
}

// imports says what may not be imported where.
func imports(s source) (bad []string) {
	in := func(dirs ...string) bool {
		return slices.ContainsFunc(dirs, func(d string) bool { return s.dir() == d || strings.HasPrefix(s.dir(), d+"/") })
	}
	for _, spec := range s.file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return []string{err.Error()}
		}
		has := func(prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }
		wrong := has("chartcellar/cmd") && !in("cmd") ||
			has("chartcellar/fhirsync") && in("store", "config") ||
			has("chartcellar/config") && !in("cmd", "config") ||
			has("chartcellar/store") && in("config") ||
			has("chartcellar/fhirsync") && in("cmd/chartcellar/internal/viewer") ||
			has("chartcellar") && in("fhirsync/fakeemr") && !s.test() ||
			has("go.etcd.io/bbolt") && !in("store") ||
			has("github.com/hashicorp/go-retryablehttp") && !in("fhirsync/rest", "fhirsync/push") ||
			has("golang.org/x/oauth2") && !in("fhirsync/smart", "fhirsync/rest") ||
			has("github.com/pkg/sftp") && !in("store/offsite", "store/storetest") ||
			has("github.com/minio/minio-go") && !in("store/offsite") ||
			has("github.com/samply/golang-fhir-models") && !in("fhirsync/rest", "fhirsync/bulk", "store/chart")
		if wrong {
			bad = append(bad, "imports "+p)
		}
	}
	return bad
}

// touches says which calls remove, replace or cut files outside the one package
// that may (T20: no delete).
func touches(s source) (bad []string) {
	kept := strings.HasPrefix(s.path, "store/") || strings.HasPrefix(s.path, "fhirsync/") || strings.HasPrefix(s.path, "cmd/")
	allowed := s.dir() == "store/disk" || s.test() || strings.HasPrefix(s.path, "fhirsync/fakeemr/") ||
		s.dir() == "store/storetest" || s.path == "cmd/chartcellar/demo.go" || strings.HasPrefix(s.path, "cmd/chartcellar/bench") ||
		s.path == "cmd/chartcellar/internal/control/control.go" || s.path == "cmd/chartcellar/fakeemr.go" ||
		strings.HasPrefix(s.path, "cmd/chartcellar/servicefiles") // units, and the plain box key when asked
	if !kept || allowed {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		name := sel.Sel.Name
		pkg, _ := sel.X.(*ast.Ident)
		fromOS := pkg != nil && pkg.Name == "os" && slices.Contains([]string{"Remove", "RemoveAll", "Truncate", "Rename", "WriteFile"}, name)
		if fromOS || name == "Truncate" && !isCall(sel.X) || name == "Remove" && isFS(sel.X) {
			bad = append(bad, "calls "+name)
		}
		return true
	})
	return bad
}

// copies says what removes or replaces at a second copy, outside a test of the place and
// the clearing away of temporary files (I11).
func copies(s source) (bad []string) {
	if s.dir() != "store/offsite" || s.test() {
		return nil
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || slices.Contains([]string{"Delete", "Overwrite", "clear"}, f.Name.Name) {
			continue
		}
		ast.Inspect(f, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if ok && !strings.HasPrefix(sel.Sel.Name, "RemoveTemp") && (strings.HasPrefix(sel.Sel.Name, "Remove") ||
				slices.Contains([]string{"PosixRename", "Replace", "ReplaceFile", "Truncate"}, sel.Sel.Name) && !isCall(sel.X)) {
				bad = append(bad, f.Name.Name+" calls "+sel.Sel.Name)
			}
			return true
		})
	}
	return bad
}

// destroys says who calls what destroys: disk.Destroy is for store.Wipe alone, and that
// for the command of a person.
func destroys(s source) (bad []string) {
	if s.test() {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		pkg, _ := sel.X.(*ast.Ident)
		switch {
		case pkg == nil:
		case pkg.Name == "disk" && sel.Sel.Name == "Destroy" && s.path != "store/wipe.go",
			pkg.Name == "store" && sel.Sel.Name == "Wipe" && s.path != "cmd/chartcellar/wipe.go":
			bad = append(bad, "calls "+sel.Sel.Name)
		}
		return true
	})
	if s.dir() == "store/disk" && s.path != "store/disk/destroy.go" && strings.Contains(string(s.text), "Destroy(") {
		bad = append(bad, "calls Destroy")
	}
	return bad
}

// cheapens says what makes passphrases weak: only tests may, and what runs them.
func cheapens(s source) (bad []string) {
	if s.test() || s.path == "store/keys/keys.go" || s.path == "store/storetest/memory.go" {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok && id.Name == "CheapForTests" {
			bad = append(bad, "makes passphrases weak")
		}
		return true
	})
	return bad
}

// isCall tells a Truncate of a time, which stands behind a call, from one of a
// file.
func isCall(x ast.Expr) bool { _, ok := x.(*ast.CallExpr); return ok }

// isFS reports whether an expression is a disk.FS by its name.
func isFS(x ast.Expr) bool {
	name := ""
	switch x := x.(type) {
	case *ast.Ident:
		name = x.Name
	case *ast.SelectorExpr:
		name = x.Sel.Name
	}
	return name == "fs" || name == "fsys" || name == "FS"
}

// dials says what opens connections, or names a host, outside the files that may: no
// telemetry (P152). Those of fhirsync/rest go to the EMR, those of notify to the alerts
// that are set, those of offsite to the places of second copies that are set, control's to
// this computer, the bench's to its own EMR in a box.
func dials(s source) (bad []string) {
	if s.test() || strings.HasPrefix(s.path, "fhirsync/fakeemr/") {
		return nil
	}
	may := slices.Contains([]string{"fhirsync/rest/rest.go", "fhirsync/rest/guard.go", "store/offsite/sftp.go", "store/offsite/s3.go",
		"cmd/chartcellar/internal/notify/mail.go",
		"cmd/chartcellar/internal/notify/ping.go", "cmd/chartcellar/internal/control/control.go", "cmd/chartcellar/benchinput.go"}, s.path)
	pkgs := map[string]string{} // name -> path
	for _, spec := range s.file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		name := path.Base(p)
		if spec.Name != nil {
			name = spec.Name.Name
		}
		pkgs[name] = p
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.StarExpr: // *http.Client: one that was made elsewhere
			sel, ok := n.X.(*ast.SelectorExpr)
			return !ok || sel.Sel.Name != "Client" && sel.Sel.Name != "Transport"
		case *ast.SelectorExpr:
			pkg, _ := n.X.(*ast.Ident)
			if pkg != nil && !may && opens(pkgs[pkg.Name], n.Sel.Name) {
				bad = append(bad, "opens connections: "+pkg.Name+"."+n.Sel.Name)
			}
		case *ast.BasicLit:
			for _, m := range namedHost.FindAllStringSubmatch(n.Value, -1) {
				if !slices.Contains(codeSystems, m[1]) && !strings.HasSuffix(m[1], ".example") && m[1] != "host" && m[1] != "127.0.0.1" {
					bad = append(bad, "names the host "+m[1])
				}
			}
		}
		return true
	})
	return bad
}

var (
	namedHost = regexp.MustCompile(`(?i)\b(?:https?|wss?)://([a-z0-9][a-z0-9.-]*)`)
	// codeSystems name codes; nobody calls them.
	codeSystems = []string{"loinc.org", "snomed.info", "www.nlm.nih.gov", "hl7.org", "terminology.hl7.org", "www.ama-assn.org"}
)

// opens reports whether a name of the standard library opens connections or looks up
// hosts.
func opens(pkg, name string) bool {
	switch pkg {
	case "net":
		return strings.HasPrefix(name, "Dial") || strings.HasPrefix(name, "Lookup") || name == "Resolver" || name == "DefaultResolver"
	case "net/http":
		return slices.Contains([]string{"Get", "Head", "Post", "PostForm", "Client", "DefaultClient", "Transport", "DefaultTransport"}, name)
	case "crypto/tls":
		return strings.HasPrefix(name, "Dial") || name == "Client"
	case "golang.org/x/crypto/ssh":
		return strings.HasPrefix(name, "Dial") || name == "NewClientConn"
	case "net/smtp":
		return name == "Dial" || name == "SendMail"
	}
	return pkg == "net/rpc"
}

// shape checks names and sizes.
func shape(s source) (bad []string) {
	if slices.Contains([]string{"util", "common", "helpers", "models", "types", "fhir"}, s.file.Name.Name) {
		bad = append(bad, "package named "+s.file.Name.Name)
	}
	lines := strings.Count(string(s.text), "\n")
	if lines > 800 {
		bad = append(bad, fmt.Sprintf("%d lines", lines))
	}
	for _, d := range s.file.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok {
			continue
		}
		if f.Name.Name == "init" && f.Recv == nil {
			bad = append(bad, "has an init function")
		}
		n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line
		if n > 100 && !s.test() {
			bad = append(bad, fmt.Sprintf("%s has %d lines", f.Name.Name, n))
		}
	}
	return bad
}

// TestWhoMayDial: nothing calls anybody but the EMR and the alerts that are set.
func TestWhoMayDial(t *testing.T) {
	for _, s := range sources(t) {
		for _, bad := range dials(s) {
			t.Errorf("%s %s", s.path, bad)
		}
	}
}

func TestLayout(t *testing.T) {
	for _, s := range sources(t) {
		for _, rule := range []func(source) []string{imports, touches, copies, destroys, cheapens, shape} {
			for _, bad := range rule(s) {
				t.Errorf("%s %s", s.path, bad)
			}
		}
	}
}

// TestRulesBite: each rule finds what it is there for.
func TestRulesBite(t *testing.T) {
	tests := []struct {
		name, path, text string
		rule             func(source) []string
	}{
		{"store imports the engine", "store/x.go", `package store; import _ "chartcellar/fhirsync"`, imports},
		{"the engine imports settings", "fhirsync/x.go", `package fhirsync; import _ "chartcellar/config"`, imports},
		{"bbolt outside the store", "fhirsync/x.go", `package fhirsync; import _ "go.etcd.io/bbolt"`, imports},
		{"models on the write path", "store/x.go", `package store; import _ "github.com/samply/golang-fhir-models/fhir-models/fhir"`, imports},
		{"the EMR in a box imports the engine", "fhirsync/fakeemr/x.go", `package fakeemr; import _ "chartcellar/fhirsync/rest"`, imports},
		{"a remove in the store", "store/x.go", `package store; import "os"; func f() { os.Remove("x") }`, touches},
		{"a truncate of a file", "store/x.go", `package store; type s struct{ f interface{ Truncate(int64) } }; func g(x s) { x.f.Truncate(0) }`, touches},
		{"a destruction", "store/x.go", `package store; import "chartcellar/store/disk"; func f() { disk.Destroy(a, b, true) }`, destroys},
		{"a destruction in its own package", "store/disk/x.go", `package disk; func f() { Destroy(a, b, true) }`, destroys},
		{"a wipe by another command", "cmd/chartcellar/serve.go", `package main; import "chartcellar/store"; func f() { store.Wipe(a, b) }`, destroys},
		{"weak passphrases", "cmd/chartcellar/keys.go", `package main; import "chartcellar/store/keys"; var f = keys.CheapForTests`, cheapens},
		{"a call home", "cmd/x.go", `package main; import "net/http"; func f() { http.Get(x) }`, dials},
		{"a client of its own", "fhirsync/x.go", `package fhirsync; import "net/http"; var c = &http.Client{}`, dials},
		{"a call under another name", "store/x.go", `package store; import n "net"; func f() { n.DialTimeout(a, b, c) }`, dials},
		{"a resolver", "store/x.go", `package store; import "net"; var r = net.DefaultResolver`, dials},
		{"a sign-in to a server", "fhirsync/x.go", `package fhirsync; import "golang.org/x/crypto/ssh"; func f() { ssh.Dial(a, b, c) }`, dials},
		{"a call from beside the drivers", "store/offsite/list.go", `package offsite; import "net"; func f() { net.Dial(a, b) }`, dials},
		{"a bucket of its own", "cmd/x.go", `package main; import _ "github.com/minio/minio-go/v7"`, imports},
		{"a server of its own", "store/x.go", `package store; import _ "github.com/pkg/sftp"`, imports},
		{"a second copy that removes", "store/offsite/x.go", `package offsite; func (s *SFTP) put() { s.now.Remove(x) }`, copies},
		{"a second copy that replaces", "store/offsite/x.go", `package offsite; func put(c *Client) { c.PosixRename(a, b) }`, copies},
		{"an address of ours", "fhirsync/rest/rest.go", `package rest; const x = "https://stats.chartcellar.org/v1"`, dials},
		{"an init function", "store/x.go", `package store; func init() {}`, shape},
		{"a drawer for everything", "store/x.go", `package util`, shape},
		{"a long function", "store/x.go", "package store\nfunc f() {\n" + strings.Repeat("\n", 101) + "}", shape},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := parse(tt.path, []byte(tt.text))
			if err != nil {
				t.Fatal(err)
			}
			if len(tt.rule(s)) == 0 {
				t.Error("not found")
			}
		})
	}
}

func TestTopLevel(t *testing.T) {
	want := []string{".ci", ".dockerignore", ".git", ".gitignore", "CHANGELOG.md", "Dockerfile", "LICENSE", "NOTICE",
		"README.md", "cmd", "config", "conformance_test.go", "docs", "fhirsync", "go.mod", "go.sum", "layout_test.go", "store"}
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !slices.Contains(want, e.Name()) {
			t.Errorf("%s does not belong at the top", e.Name())
		}
	}
}

// TestDockerfile: what the image copies is there, what it runs the program knows, and
// nothing that the build needs is kept out of it. No image is built.
func TestDockerfile(t *testing.T) {
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	ignored, err := os.ReadFile(".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	made := []string{"/etc/ssl/certs/ca-certificates.crt"} // the golang image has it
	words := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] == "#" {
			continue
		}
		switch f[0] {
		case "RUN":
			made = append(made, f...)
		case "COPY":
			from := f[len(f)-2]
			_, err := os.Stat(from)
			built := strings.HasPrefix(f[1], "--from=build") && slices.ContainsFunc(made, func(m string) bool { return strings.HasPrefix(m, strings.TrimSuffix(from, "/")) })
			if err != nil && !built {
				t.Errorf("%s: nothing makes %s", strings.TrimSpace(line), from)
			}
		case "CMD", "ENTRYPOINT":
			var list []string
			if err := json.Unmarshal([]byte(strings.TrimSpace(strings.TrimPrefix(line, f[0]))), &list); err != nil {
				t.Errorf("%s: %v", strings.TrimSpace(line), err)
			}
			words[f[0]] = list
		}
	}
	if got := append(words["ENTRYPOINT"], words["CMD"]...); !slices.Equal(got, []string{"/chartcellar", "serve"}) {
		t.Errorf("the image runs %q", got)
	}
	for name := range strings.Lines(string(ignored)) {
		if name = strings.TrimSpace(name); slices.Contains([]string{"cmd", "store", "fhirsync", "config", "go.mod", "go.sum"}, name) {
			t.Errorf(".dockerignore keeps %s from the build", name)
		}
	}
}
