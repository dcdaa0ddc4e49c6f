package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/journal"
	"chartcellar/store/keys"
)

// logOffice is an office with nothing but a mirror, and the key to it; lines wait in
// its journal.
func logOffice(t testing.TB, lines int) (*office, age.Identity) {
	t.Helper()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made, err := store.Init(store.InitOptions{Dir: dir, Box: box, Practice: "Harbour Street"})
	if err != nil {
		t.Fatal(err)
	}
	if lines > 0 {
		fillLog(t, dir, made.Office.Recipient(), lines)
	}
	m, err := store.Open(t.Context(), store.Options{Dir: dir, Box: box, Ballast: -1, Reserve: 1, Identity: made.Office})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &office{e: quick(&env{Stdin: strings.NewReader(""), Stdout: io.Discard, Stderr: io.Discard}), m: m}, made.Office
}

// fillLog writes a segment of the journal, as the journal does but all at once.
func fillLog(t testing.TB, dir string, to age.Recipient, lines int) {
	t.Helper()
	var note, out bytes.Buffer
	w, err := age.Encrypt(&note, to)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "account stan; from 10.0.0.7; a note"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	prev := ""
	for i := range lines {
		l := journal.Line{Seq: int64(i + 1), Prev: prev, Time: time.Unix(1_760_000_000+int64(i), 0).UTC(), Code: accounts.CodeSignIn, Account: "stan", Note: note.Bytes()}
		if i%3 > 0 {
			l.Code, l.Note, l.Type, l.Patient = "record.view", nil, "Observation", "00112233445566778899aabbccddeeff"
		}
		raw, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(raw)
		prev = hex.EncodeToString(sum[:])
		fmt.Fprintf(&out, "%s\t%s\n", raw, prev[:16])
	}
	if err := os.WriteFile(filepath.Join(dir, "journal", "000001"), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func journalAll(t testing.TB, o *office, list ...store.Event) {
	t.Helper()
	for _, ev := range list {
		if err := o.m.Journal(ev); err != nil {
			t.Fatal(err)
		}
	}
}

func packLog(t testing.TB, o *office) {
	t.Helper()
	if _, err := o.m.Record(t.Context(), store.RunSpec{Kind: "journal"}, "", struct{}{}); err != nil {
		t.Fatal(err)
	}
}

var logOwner = viewer.Actor{Account: "reyes", Role: accounts.Owner, Charts: true}

func logPage(t testing.TB, o *office, a viewer.Actor, scope viewer.LogScope, before uint64, n int) viewer.LogPage {
	t.Helper()
	p, err := o.logLines(t.Context(), a, scope, before, n)
	if err != nil {
		t.Fatalf("Log(%s, before %d) = %v", scope, before, err)
	}
	return p
}

// TestLogPages: pages of any size, over lines in parts and lines that wait, hold every
// line once.
func TestLogPages(t *testing.T) {
	o, id := logOffice(t, 0)
	if p := logPage(t, o, logOwner, viewer.LogAll, 0, 100); len(p.Lines) > 0 || p.More > 0 || p.All != 0 || p.Chain.Answer != health.Unknown {
		t.Errorf("of nothing: %+v", p)
	}
	for i := 1; i <= 50; i++ {
		journalAll(t, o, store.Event{Code: "run.now", Account: "reyes", Note: fmt.Sprint("note ", i)})
		if i%9 == 0 {
			packLog(t, o)
		}
	}
	for _, n := range []int{1, 4, 7, 49, 50, 51} {
		next, before := uint64(50), uint64(0)
		for {
			p := logPage(t, o, logOwner, viewer.LogAll, before, n)
			if p.All != 50 || p.Chain.Answer != health.Yes || p.Locked {
				t.Fatalf("page of %d: %+v", n, p)
			}
			for _, l := range p.Lines {
				if l.Number != next || l.Note != fmt.Sprint("note ", next) || l.What != "started a backup" || l.At.IsZero() {
					t.Fatalf("pages of %d: %+v stands where line %d should", n, l, next)
				}
				next--
			}
			if before = p.More; before == 0 {
				break
			}
		}
		if next != 0 {
			t.Errorf("pages of %d end before line %d", n, next)
		}
	}

	journalAll(t, o, store.Event{Code: "alert.overdue.began", Key: store.Key{Source: "emr"}})
	if p := logPage(t, o, logOwner, viewer.LogAll, 0, 1); p.Lines[0].What != "told of: overdue, began" || p.Lines[0].Target != "emr" {
		t.Errorf("an alert: %+v", p.Lines)
	}
	o.m.Lock()
	p := logPage(t, o, logOwner, viewer.LogAll, 0, 100)
	if len(p.Lines) != 6 || !p.Locked || p.More != 0 || p.Lines[0].Note != "" || p.Chain.Answer != health.Yes {
		t.Errorf("locked: %+v", p)
	}
	if _, err := o.logLines(t.Context(), logOwner, viewer.LogAll, 40, 100); !errors.Is(err, viewer.ErrLocked) {
		t.Errorf("locked, only packed lines: %v", err)
	}
	packLog(t, o)
	if _, err := o.logLines(t.Context(), logOwner, viewer.LogAll, 0, 100); !errors.Is(err, viewer.ErrLocked) {
		t.Errorf("locked, all packed: %v", err)
	}
	if err := o.m.Unlock(id); err != nil {
		t.Fatal(err)
	}
	if p := logPage(t, o, logOwner, viewer.LogAll, 0, 100); len(p.Lines) != 51 || p.Chain.Answer != health.Yes {
		t.Errorf("all packed: %d lines, %+v", len(p.Lines), p.Chain)
	}
}

// TestLogScopes: who may see less sees less, and no patient.
func TestLogScopes(t *testing.T) {
	o, _ := logOffice(t, 0)
	for _, packed := range []bool{false, true} {
		if packed {
			packLog(t, o)
			continue
		}
		journalAll(t, o,
			store.Event{Code: "chart.view", Account: "reyes", Key: store.Key{Source: "emr", Type: "Patient"}, Patient: "canary-17"},
			store.Event{Code: "records.search", Account: "stan", Key: store.Key{Source: "emr"}, Note: "Canary"},
			store.Event{Code: "run.accept", Account: "reyes", Run: 7, Key: store.Key{Type: "Observation"}},
			store.Event{Code: "something.new", Account: "stan", Note: "Canary"},
			store.Event{Code: "settings.changed", Account: "ivan", Note: "Canary"},
			store.Event{Code: "run.now", Account: "ivan", Patient: "canary-17"})
		if err := o.journal(accounts.Event{Code: accounts.CodeEmergency, Account: "stan", Target: "stan", Address: "10.0.0.7", Note: "from the ward; Canary"}); err != nil {
			t.Fatal(err)
		}
	}
	all := logPage(t, o, logOwner, viewer.LogAll, 0, 100).Lines
	if len(all) != 7 {
		t.Fatalf("%d lines, want 7", len(all))
	}
	first := all[0]
	if first.Target != "stan" || first.Address != "10.0.0.7" || first.Note != "from the ward; Canary" || first.What != "opened emergency access" {
		t.Errorf("emergency: %+v", first)
	}
	if l := all[6]; !strings.HasPrefix(l.Target, "Patient, patient #") || l.Target[18:] == "" || strings.Contains(l.Target, "canary") {
		t.Errorf("chart: %+v", l)
	}
	if l := all[3]; l.What != "" || l.Code != "something.new" || l.Note != "Canary" {
		t.Errorf("unknown code: %+v", l)
	}
	hidden := func(scope viewer.LogScope, a viewer.Actor, want ...string) {
		t.Helper()
		var got []string
		p := logPage(t, o, a, scope, 0, 100)
		for _, l := range p.Lines {
			got = append(got, l.Code)
			if l.Note != "" || l.Address != "" {
				t.Errorf("%s shows a note: %+v", scope, l)
			}
			if scope == viewer.LogSystem && (strings.Contains(l.Target, "atient") || strings.Contains(l.Target, "#")) {
				t.Errorf("%s shows a patient: %+v", scope, l)
			}
		}
		if !slices.Equal(got, want) || p.All != -1 {
			t.Errorf("%s: %v of %d, want %v", scope, got, p.All, want)
		}
	}
	hidden(viewer.LogSystem, viewer.Actor{Account: "ivan", Role: accounts.IT}, accounts.CodeEmergency, "settings.changed", "run.accept")
	hidden(viewer.LogOwn, viewer.Actor{Account: "stan", Role: accounts.Staff}, accounts.CodeEmergency, "something.new", "records.search")
	hidden(viewer.LogOwn, viewer.Actor{Account: "nobody", Role: accounts.Staff})
	for _, x := range []struct {
		role  accounts.Role
		scope viewer.LogScope
	}{{accounts.Staff, viewer.LogAll}, {accounts.IT, viewer.LogAll}, {accounts.Manager, viewer.LogAll}, {accounts.Staff, viewer.LogSystem},
		{"", viewer.LogAll}, {accounts.Owner, "other"}} {
		if p, err := o.logLines(t.Context(), viewer.Actor{Account: "x", Role: x.role}, x.scope, 0, 9); !errors.Is(err, viewer.ErrNotFound) || len(p.Lines) > 0 {
			t.Errorf("%s sees the scope %s: %v", x.role, x.scope, err)
		}
	}
}

// TestLogFlipped: a flipped byte in a line that waits is seen, also after the chain was
// good a moment ago.
func TestLogFlipped(t *testing.T) {
	o, _ := logOffice(t, 0)
	for i := range 20 {
		journalAll(t, o, store.Event{Code: "run.now", Account: "reyes"})
		if i == 9 {
			packLog(t, o)
		}
	}
	if p := logPage(t, o, logOwner, viewer.LogAll, 0, 100); p.Chain.Answer != health.Yes {
		t.Fatalf("before: %+v", p.Chain)
	}
	files, err := filepath.Glob(filepath.Join(o.m.Dir(), "journal", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)*2/3] ^= 4
	if err := os.WriteFile(files[0], b, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, before := range []uint64{0, 3} {
		if p := logPage(t, o, logOwner, viewer.LogAll, before, 100); p.Chain.Answer != health.No || p.Chain.Words == "" {
			t.Errorf("before %d: %+v", before, p.Chain)
		}
	}
}

// TestLogWords: every code that the sources write has words.
func TestLogWords(t *testing.T) {
	words, used := logWords(), journalCodes(t, ".", "../../store/access")
	for code := range used {
		if words[code].words == "" {
			t.Errorf("the code %s has no words", code)
		}
	}
	for _, code := range []string{"access.session.in", "chart.view", "document.save", "verify.full", "schedule.pause", "run.reject", "run.now"} {
		if !used[code] {
			t.Errorf("the search for codes does not find %s", code)
		}
	}
	if len(used) < 45 {
		t.Errorf("only %d codes are found: %v", len(used), slices.Sorted(maps.Keys(used)))
	}
}

// journalCodes returns the codes in the sources of folders: what stands beside Code: or
// in a variable code, what is handed to a parameter code, and constants Code….
func journalCodes(t *testing.T, folders ...string) map[string]bool {
	t.Helper()
	used, params := map[string]bool{}, map[string]int{}
	var files []*ast.File
	for _, folder := range folders {
		names, err := filepath.Glob(filepath.Join(folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, "officelog.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok {
					if at := codeParam(fn); at >= 0 {
						params[fn.Name.Name] = at
					}
				}
			}
		}
	}
	for _, f := range files {
		ast.Inspect(f, func(n ast.Node) bool {
			for _, x := range codeValues(n, params) {
				addCodes(used, x)
			}
			return true
		})
	}
	return used
}

// codeParam returns which parameter of a function is called code; -1 if none is.
func codeParam(fn *ast.FuncDecl) int {
	at := 0
	for _, field := range fn.Type.Params.List {
		for _, name := range field.Names {
			if name.Name == "code" {
				return at
			}
			at++
		}
	}
	return -1
}

func codeValues(n ast.Node, params map[string]int) []ast.Expr {
	switch n := n.(type) {
	case *ast.KeyValueExpr:
		if k, ok := n.Key.(*ast.Ident); ok && k.Name == "Code" {
			return []ast.Expr{n.Value}
		}
	case *ast.AssignStmt:
		if k, ok := n.Lhs[0].(*ast.Ident); ok && k.Name == "code" {
			return n.Rhs
		}
	case *ast.ValueSpec:
		if strings.HasPrefix(n.Names[0].Name, "Code") {
			return n.Values
		}
	case *ast.CallExpr:
		name := ""
		switch f := n.Fun.(type) {
		case *ast.Ident:
			name = f.Name
		case *ast.SelectorExpr:
			name = f.Sel.Name
		}
		if at, ok := params[name]; ok && at < len(n.Args) {
			return n.Args[at : at+1]
		}
	}
	return nil
}

// addCodes adds the codes in an expression; one that is put together stands for all
// depths of a verification.
func addCodes(used map[string]bool, x ast.Expr) {
	ast.Inspect(x, func(n ast.Node) bool {
		lit, ok := n.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return true
		}
		text, err := strconv.Unquote(lit.Value)
		switch {
		case err != nil || strings.Trim(text, "abcdefghijklmnopqrstuvwxyz.") != "":
		case text == "verify.":
			for _, depth := range []string{"quick", "rolling", "sample", "full"} {
				used[text+depth] = true
			}
		case strings.Contains(text, ".") || text == "export":
			used[text] = true
		}
		return true
	})
}

// BenchmarkLog: a page of the log while 100,000 lines wait.
func BenchmarkLog(b *testing.B) {
	o, _ := logOffice(b, 100_000)
	staff := viewer.Actor{Account: "nobody", Role: accounts.Staff}
	for _, x := range []struct {
		name   string
		a      viewer.Actor
		scope  viewer.LogScope
		before uint64
	}{{"newest", logOwner, viewer.LogAll, 0}, {"middle", logOwner, viewer.LogAll, 50_000}, {"oldest", logOwner, viewer.LogAll, 90},
		{"system", logOwner, viewer.LogSystem, 0}, {"own, none", staff, viewer.LogOwn, 0}} {
		b.Run(x.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				logPage(b, o, x.a, x.scope, x.before, 100)
			}
		})
	}
}

// BenchmarkLogCheck: the first page of a process, which checks the whole chain.
func BenchmarkLogCheck(b *testing.B) {
	o, _ := logOffice(b, 100_000)
	for b.Loop() {
		b.StopTimer()
		files, err := filepath.Glob(filepath.Join(o.m.Dir(), "journal", "*"))
		if err != nil || len(files) != 1 {
			b.Fatal(files, err)
		}
		now := time.Now()
		if err := os.Chtimes(files[0], now, now); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		logPage(b, o, logOwner, viewer.LogAll, 0, 100)
	}
}

// BenchmarkLogPacked: pages of lines that lie in 300 parts, 20 in each.
func BenchmarkLogPacked(b *testing.B) {
	o, _ := logOffice(b, 0)
	for range 300 {
		for range 20 {
			journalAll(b, o, store.Event{Code: "run.now", Account: "stan", Note: "a note"})
		}
		packLog(b, o)
	}
	for _, before := range []uint64{0, 3000} {
		b.Run(fmt.Sprint("before ", before), func(b *testing.B) {
			for b.Loop() {
				o.m.DropCache()
				logPage(b, o, logOwner, viewer.LogAll, before, 100)
			}
		})
	}
}
