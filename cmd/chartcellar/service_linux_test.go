package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"chartcellar/config"
	"chartcellar/store/keys"
)

var update = flag.Bool("update", false, "write the golden unit files anew")

// goldenUnits are the units in testdata/units, which the transcript service.txtar
// compares with what install writes.
var goldenUnits = map[string]unit{
	"system.service": {Program: "/usr/bin/chartcellar", Settings: systemSettings, Account: "chartcellar",
		Folders: []string{"/etc/chartcellar", "/var/lib/chartcellar"}},
	"home.service": {Program: "/home/anna/my bin/chartcellar", Settings: "/home/anna/50% of $x/settings.toml", Account: "chartcellar",
		Folders: []string{"/home/anna/50% of $x", `/srv/a "b"`}},
	"user.service": {Program: "/usr/bin/chartcellar", Settings: "/home/anna/settings.toml"},
}

func TestServiceUnits(t *testing.T) {
	for name, u := range goldenUnits {
		text, err := u.text()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "units", name)
		if *update {
			if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil || string(want) != text {
			t.Errorf("%s: got\n%s\n%v", name, text, err)
		}
		if !ownUnit(text) || ownUnit(text+"\n") || ownUnit(strings.Replace(text, "UMask=0077", "UMask=0022", 1)) {
			t.Errorf("%s: a changed unit is not told from its own", name)
		}
	}
}

// systemdWords reads a line's value as systemd does (extract_first_word with
// EXTRACT_UNQUOTE): the words of a quoted list.
func systemdWords(s string) (words []string) {
	var b strings.Builder
	quoted, word := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			quoted, word = !quoted, true
		case c == ' ' && !quoted:
			if word {
				words = append(words, b.String())
			}
			b.Reset()
			word = false
		default:
			word = true
			b.WriteByte(c)
		}
	}
	return append(words, b.String())
}

// plainPercent undoes %% and refuses any other specifier.
func plainPercent(s string) (string, error) {
	if strings.Contains(strings.ReplaceAll(s, "%%", ""), "%") {
		return "", errors.New("a specifier in " + s)
	}
	return strings.ReplaceAll(s, "%%", "%"), nil
}

// valueOf returns the value of a line of a unit.
func valueOf(t *rapid.T, text, key string) string {
	m := regexp.MustCompile(`(?m)^` + key + `=(.*)$`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s= in\n%s", key, text)
	}
	return m[1]
}

// TestServiceQuoting: whatever a path holds, systemd reads that path.
func TestServiceQuoting(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		path := rapid.StringMatching(`/[a-z \\"'%$;:#=\-ä*?{}~]{1,12}/[ -~]{0,8}x`)
		program := rapid.StringMatching(`/[a-z %$;:#=\-ä*?{}~]{1,12}/[a-z $%]{0,8}x`) // systemd takes no quotes there
		u := unit{Program: program.Draw(t, "program"), Settings: path.Draw(t, "settings"), Account: "chartcellar",
			Folders: []string{path.Draw(t, "folder"), path.Draw(t, "folder")}}
		text, err := u.text()
		if err != nil {
			t.Fatal(err)
		}
		line := systemdWords(valueOf(t, text, "ExecStart"))
		for i := range line {
			if line[i], err = plainPercent(line[i]); err != nil {
				t.Fatal(err)
			}
			if i > 0 { // systemd expands no variables in the program's name
				if strings.Contains(strings.ReplaceAll(line[i], "$$", ""), "$") {
					t.Fatalf("a variable in %q", line[i])
				}
				line[i] = strings.ReplaceAll(line[i], "$$", "$")
			}
		}
		if want := []string{u.Program, "serve", "--config", u.Settings}; fmt.Sprintf("%q", line) != fmt.Sprintf("%q", want) {
			t.Fatalf("ExecStart is read as %q, want %q", line, want)
		}
		for i, w := range systemdWords(valueOf(t, text, "ReadWritePaths")) {
			if w, err = plainPercent(w); err != nil || w != "-"+u.Folders[i] {
				t.Fatalf("a folder is read as %q (%v), want -%s", w, err, u.Folders[i])
			}
		}
	})
}

func TestServiceRefuses(t *testing.T) {
	for _, change := range []func(*unit){
		func(u *unit) { u.Settings = "/etc/x\nExecStartPre=/bin/evil" },
		func(u *unit) { u.Account = "x\nUser=root" },
		func(u *unit) { u.Program = `/opt/"x"` },
	} {
		u := goldenUnits["system.service"]
		change(&u)
		if text, err := u.text(); err == nil {
			t.Errorf("a unit with\n%s", text)
		}
	}
}

// TestServiceVerified has systemd look at the units: it knows every directive, finds
// a program with an odd name, and gives the score of docs/service.md.
func TestServiceVerified(t *testing.T) {
	needProgram(t, "systemd-analyze")
	dir := filepath.Join(t.TempDir(), "odd name 5% $x; $y")
	program := filepath.Join(dir, "chartcellar")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, u := range goldenUnits {
		u.Program = program
		text, err := u.text()
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), unitName)
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.Command("systemd-analyze", "verify", file).CombinedOutput(); err != nil || strings.Contains(string(out), unitName) {
			t.Errorf("%s: systemd-analyze verify: %v\n%s", name, err, out)
		}
		if u.System() {
			out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold=15", "--no-pager", file).CombinedOutput()
			if err != nil {
				t.Errorf("%s: its exposure is over 1.5: %v\n%s", name, err, out)
			}
		}
	}
	score := regexp.MustCompile(`exposure level[^:]*: ([0-9.]+)`)
	out, err := exec.Command("systemd-analyze", "security", "--offline=true", "--no-pager", filepath.Join("testdata", "units", "system.service")).CombinedOutput()
	m := score.FindSubmatch(out)
	if err != nil || m == nil {
		t.Fatalf("%v\n%s", err, out)
	}
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "service.md"))
	if err != nil || !bytes.Contains(doc, append([]byte("score: "), m[1]...)) {
		t.Errorf("docs/service.md does not give the score %s (%v)", m[1], err)
	}
}

// needProgram leaves a test out where a program is missing, but never in CI.
func needProgram(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		leaveOut(t, name+" is not installed")
	}
}

func leaveOut(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("CHARTCELLAR_CI") != "" {
		t.Fatal(why)
	}
	leftOut.Lock()
	leftOut.list = append(leftOut.list, fmt.Sprintf("left out: %s, because %s", t.Name(), why))
	leftOut.Unlock()
	t.Skip(why)
}

// A bench of a service: programs in a folder of their own stand for systemd.
type serviceBench struct {
	sv  services
	bin string
	buf *bytes.Buffer
}

func newServiceBench(t *testing.T, programs map[string]string) *serviceBench {
	t.Helper()
	b := &serviceBench{bin: t.TempDir(), buf: &bytes.Buffer{}}
	for name, script := range programs {
		if err := os.WriteFile(filepath.Join(b.bin, name), []byte("#!/bin/sh\necho \"$0 $*\" >>"+b.bin+"/calls\n"+script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", b.bin)
	e := &env{Stdout: b.buf, Stderr: b.buf, Getenv: func(string) string { return "" }}
	b.sv = services{e: e, root: t.TempDir()}
	return b
}

func (b *serviceBench) calls(t *testing.T) string {
	t.Helper()
	c, err := os.ReadFile(filepath.Join(b.bin, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(c), b.bin+"/", "")
}

func TestServiceStart(t *testing.T) {
	tests := []struct {
		name, script string
		fails        bool
		want         string
	}{
		{"it runs", "echo ActiveState=active\necho UnitFileState=enabled\n", false, "It runs now, and starts with the computer"},
		{"it ends at once", "echo SubState=auto-restart\necho Result=exit-code\n", true, "about to be started again"},
		{"no systemd runs", "echo 'System has not been booted with systemd as init system' >&2; exit 1\n", false, "systemd does not run this computer"},
		{"systemd refuses", "echo 'Unit is masked' >&2; exit 1\n", true, "Unit is masked"},
		{"a chroot does nothing and says so", "exit 0\n", true, "unknown"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServiceBench(t, map[string]string{"systemctl": tt.script})
			err := b.sv.start(t.Context())
			said := b.buf.String() + fmt.Sprint(err)
			if (err != nil) != tt.fails || !strings.Contains(said, tt.want) {
				t.Errorf("start = %s", said)
			}
		})
	}
	t.Run("no systemctl", func(t *testing.T) {
		b := newServiceBench(t, nil)
		if err := b.sv.start(t.Context()); err != nil || !strings.Contains(b.buf.String(), "there is no systemctl") {
			t.Errorf("start = %v, %s", err, b.buf)
		}
	})
	t.Run("what is asked", func(t *testing.T) {
		b := newServiceBench(t, map[string]string{"systemctl": "echo ActiveState=active\n"})
		b.sv.user = true
		if err := b.sv.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := "systemctl --user daemon-reload\nsystemctl --user enable chartcellar.service\nsystemctl --user restart chartcellar.service\nsystemctl --user show"
		if got := b.calls(t); !strings.HasPrefix(got, want) || !strings.Contains(b.buf.String(), "loginctl enable-linger") {
			t.Errorf("asked %s, said %s", got, b.buf)
		}
	})
}

// TestServiceUninstall: without systemd the unit goes too; if systemd does not take note
// of that, it is said what is left to do.
func TestServiceUninstall(t *testing.T) {
	text, err := goldenUnits["user.service"].text()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, script string
		fails        bool
		want         string
	}{
		{"it goes", "exit 0\n", false, "Removed: "},
		{"no systemd runs", "echo 'System has not been booted with systemd as init system' >&2; exit 1\n", false, "Removed: "},
		{"systemd takes no note", "[ \"$2\" = disable ] || { echo 'no reply' >&2; exit 1; }\n", true, "its unit removed, but systemd did not take note: systemctl: no reply"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServiceBench(t, map[string]string{"systemctl": tt.script})
			t.Setenv("XDG_CONFIG_HOME", t.TempDir())
			path, err := services{user: true}.path()
			if err != nil {
				t.Fatal(err)
			}
			if err := placeUnit(path, text); err != nil {
				t.Fatal(err)
			}
			err = b.sv.e.serviceUninstall(t.Context(), serviceOptions{user: true})
			said := b.buf.String()
			if err != nil {
				said += explain(err).What
			}
			if (err != nil) != tt.fails || !strings.Contains(said, tt.want) || exists(path) {
				t.Errorf("uninstall = %s", said)
			}
		})
	}
}

func TestServiceState(t *testing.T) {
	tests := []struct {
		name, show string
		want       serviceState
	}{
		{"running", "UnitFileState=enabled\nActiveState=active\nSubState=running\nActiveEnterTimestamp=Wed 2026-11-25 14:19:41 UTC\nResult=success\nNRestarts=0",
			serviceState{Starts: "yes", Running: "yes", Since: "Wed 2026-11-25 14:19:41 UTC"}},
		{"stopped, disabled", "UnitFileState=disabled\nActiveState=inactive\nInactiveEnterTimestamp=Wed 2026-11-25 14:00:00 UTC\nResult=success",
			serviceState{Starts: "no (disabled)", Running: "no", Since: "Wed 2026-11-25 14:00:00 UTC"}},
		{"failing", "UnitFileState=enabled\nActiveState=activating\nSubState=auto-restart\nResult=exit-code\nNRestarts=3",
			serviceState{Starts: "yes", Running: "no, it ended and is about to be started again",
				Note: "It was started again 3 times after it ended by itself. It ended badly (exit-code); see: journalctl -u chartcellar"}},
		{"nothing is told", "", serviceState{Running: "unknown"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServiceBench(t, map[string]string{"systemctl": "while read -r l; do echo \"$l\"; done <<'X'\n" + tt.show + "\nX\n"})
			s := serviceState{Running: "unknown"}
			if b.sv.ask(t.Context(), &s); s != tt.want {
				t.Errorf("got  %+v\nwant %+v", s, tt.want)
			}
		})
	}
}

// TestServiceSealed seals a box key with programs that do as systemd-creds does.
func TestServiceSealed(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, script string
		fails        bool
		want         string
	}{
		{"with a TPM", "[ \"$1\" = has-tpm2 ] || /bin/cat\n", false, "security chip (TPM): on another computer it does not open"},
		{"without", "[ \"$1\" = has-tpm2 ] && exit 1\n/bin/cat\n", false, "no usable security chip"},
		{"it does not open again", "[ \"$1\" = encrypt ] && /bin/cat || echo other\n", true, "does not open again"},
		{"it fails", "echo 'no host key' >&2; exit 1\n", true, "no host key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newServiceBench(t, map[string]string{"systemd-creds": tt.script})
			s := config.Settings{BoxKey: filepath.Join(t.TempDir(), "box.key")}
			err := b.sv.seal(t.Context(), s, box.Marshal(), nil)
			said := b.buf.String() + fmt.Sprint(err)
			if (err != nil) != tt.fails || !strings.Contains(said, tt.want) {
				t.Fatalf("seal = %s", said)
			}
			if _, err := os.Stat(filepath.Join(b.sv.root, sealedBoxKey)); (err != nil) != tt.fails {
				t.Errorf("the sealed key: %v", err)
			}
			if got := b.calls(t); !strings.HasPrefix(got, "systemd-creds encrypt --name=box-key --with-key=auto - -\n") {
				t.Errorf("asked %s", got)
			}
		})
	}
}

// TestServicePlainKeyStays: without a service that has the mirror open, the plain
// box key is not removed, also when asked.
func TestServicePlainKeyStays(t *testing.T) {
	b := newServiceBench(t, nil)
	s := config.Settings{Data: t.TempDir(), BoxKey: filepath.Join(t.TempDir(), "box.key")}
	if err := os.WriteFile(s.BoxKey, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	begun := b.sv.e.now()
	lock := func(doing string, before int) {
		t.Helper()
		note := fmt.Sprintf(`{"pid":1,"doing":%q,"since":%q}`, doing, begun.Add(-1e9*2).Format("2006-01-02T15:04:05Z07:00"))
		if before == 0 {
			note = fmt.Sprintf(`{"pid":1,"doing":%q,"since":%q}`, doing, begun.Add(1e9*2).Format("2006-01-02T15:04:05Z07:00"))
		}
		if err := os.WriteFile(filepath.Join(s.Data, "lock"), []byte(note), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range []struct {
		doing  string
		before int
		want   bool
	}{{"serve", 1, false}, {"sync", 0, false}, {"serve", 0, true}} {
		lock(row.doing, row.before)
		if got := openedBy(s.Data, begun); got != row.want {
			t.Errorf("%+v: openedBy = %v", row, got)
		}
	}
	if err := b.sv.plainKey(t.Context(), s, false, begun); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.BoxKey); err != nil || !strings.Contains(b.buf.String(), "still at "+s.BoxKey) {
		t.Errorf("the plain key: %v, %s", err, b.buf)
	}
	if err := b.sv.plainKey(t.Context(), s, true, begun); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(s.BoxKey); err == nil {
		t.Error("the plain key is still there")
	}
}

// TestServiceRealCredentials seals with the real systemd-creds, as root. Outside CI
// only where the computer has its key already: the test makes none.
func TestServiceRealCredentials(t *testing.T) {
	needProgram(t, "systemd-creds")
	if _, err := os.ReadFile("/var/lib/systemd/credential.secret"); err != nil && os.Getenv("CHARTCELLAR_CI") == "" {
		leaveOut(t, "this computer has never sealed a credential, or not as this user")
	}
	path := os.Getenv("PATH")
	b := newServiceBench(t, nil)
	t.Setenv("PATH", path)
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.sv.seal(t.Context(), config.Settings{BoxKey: "/x"}, box.Marshal(), nil); err != nil {
		t.Fatal(err)
	}
	sealed, err := os.ReadFile(filepath.Join(b.sv.root, sealedBoxKey))
	if err != nil || bytes.Contains(sealed, box.Marshal()[:20]) {
		t.Fatalf("sealed as %q, %v", sealed, err)
	}
	if back, err := unseal(t.Context(), sealed); err != nil || !bytes.Equal(back, box.Marshal()) {
		t.Errorf("unsealed: %v", err)
	}
}

// TestServiceSeesHoldings: the service may read the folders that it is to watch.
func TestServiceSeesHoldings(t *testing.T) {
	s := config.Settings{Holdings: []config.Holding{{Name: "dumps", Folder: "/home/vendor/dumps", FormatDocument: "/home/vendor/format.pdf"}}}
	for _, want := range []string{"/home/vendor/dumps", "/home/vendor/format.pdf"} {
		if got := reads(s); !slices.Contains(got, want) {
			t.Errorf("reads = %q, want %q among them", got, want)
		}
	}
}
