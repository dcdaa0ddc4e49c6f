package keys_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"pgregory.net/rapid"

	"chartcellar/store/keys"
)

func sheet(t testing.TB) keys.Sheet {
	t.Helper()
	id, err := age.ParseX25519Identity("AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33")
	if err != nil {
		t.Fatal(err)
	}
	return keys.Sheet{Practice: "Praxis Dr. Ångström", Mirror: "11111111-2222-4333-8444-555555555555", Recovery: id,
		StatementHash: strings.Repeat("ab", 32), LogKey: "chartcellar/1111+aabbccdd+Abcd",
		Recipients: []keys.Recipient{{Role: "recovery", Key: id.Recipient().String()}},
		Created:    time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

func TestSheetText(t *testing.T) {
	golden := filepath.Join("testdata", "sheet.txt")
	got := sheet(t).Text()
	if os.Getenv("UPDATE") != "" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("Text =\n%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(got) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 78 {
			t.Errorf("a line has %d columns: %s", n, line)
		}
	}
}

func TestSheetPDF(t *testing.T) {
	a, err := sheet(t).PDF()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(a, []byte("%PDF-")) || bytes.Contains(a, []byte("AGE-SECRET-KEY")) {
		t.Errorf("no PDF, or one with the key as plain text: %.10s", a)
	}
}

// keyLines are the lines of the key as a person copies them.
func keyLines(s keys.Sheet) []string {
	var list []string
	for i, line := range s.Lines() {
		list = append(list, fmt.Sprintf("%d. %s [%s]", i+1, line, keys.Check(i+1, line)))
	}
	return list
}

func TestParseSheet(t *testing.T) {
	s := sheet(t)
	lines := keyLines(s)
	for name, typed := range map[string]string{
		"as printed":   strings.Join(lines, "\n"),
		"small":        strings.ToLower(strings.Join(lines, "\n\n")),
		"the bare key": s.Recovery.String(),
		"with spaces":  "  " + strings.Join(strings.Split(s.Recovery.String(), "1G"), "1 G") + "\n",
	} {
		id, err := keys.ParseSheet(typed)
		if err != nil || id.String() != s.Recovery.String() {
			t.Errorf("%s: ParseSheet = %v", name, err)
		}
	}
}

// TestOneWrongCharacter is T12: one wrong character anywhere, and the error
// names its line.
func TestOneWrongCharacter(t *testing.T) {
	lines := keyLines(sheet(t))
	for n, line := range lines {
		body := strings.Index(line, " ") + 1
		end := strings.Index(line, " [")
		for i := body; i < end; i++ {
			if line[i] == ' ' {
				continue
			}
			other := byte('X')
			if line[i] == 'X' {
				other = 'Y'
			}
			typed := append([]string{}, lines...)
			typed[n] = line[:i] + string(other) + line[i+1:]
			_, err := keys.ParseSheet(strings.Join(typed, "\n"))
			var bad *keys.LineError
			if err == nil {
				t.Fatalf("line %d, character %d: accepted", n+1, i)
			}
			if errors.As(err, &bad) && bad.Line != n+1 {
				t.Errorf("line %d, character %d: the error names line %d", n+1, i, bad.Line)
			}
			if !errors.As(err, &bad) {
				t.Errorf("line %d, character %d: %v, want the line", n+1, i, err)
			}
		}
	}
	swapped := append([]string{}, lines...)
	swapped[0], swapped[1] = swapped[1], swapped[0]
	if _, err := keys.ParseSheet(strings.Join(swapped, "\n")); err == nil {
		t.Error("two swapped lines are accepted")
	}
}

func TestBox(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		box, err := keys.NewBox()
		if err != nil {
			t.Fatal(err)
		}
		back, err := keys.ParseBox(box.Marshal())
		if err != nil {
			t.Fatal(err)
		}
		plain := rapid.SliceOf(rapid.Byte()).Draw(t, "plain")
		sealed, err := box.Seal("purpose", plain)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := back.Open("purpose", sealed); err != nil || !bytes.Equal(got, plain) {
			t.Fatalf("Open = %x, %v", got, err)
		}
		if _, err := back.Open("another", sealed); !errors.Is(err, keys.ErrDamaged) {
			t.Fatalf("Open for another purpose = %v", err)
		}
		i := rapid.IntRange(0, len(sealed)-1).Draw(t, "byte")
		sealed[i] ^= 1
		if _, err := back.Open("purpose", sealed); !errors.Is(err, keys.ErrDamaged) {
			t.Fatalf("Open of changed bytes = %v", err)
		}
	})
}

func TestBoxFile(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	file := box.Marshal()
	for i := 0; i < len(file)-2; i++ {
		bad := bytes.Clone(file)
		bad[i] ^= 2
		if _, err := keys.ParseBox(bad); !errors.Is(err, keys.ErrDamaged) {
			t.Errorf("byte %d changed: ParseBox = %v", i, err)
		}
	}
}

func TestSlots(t *testing.T) {
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	other, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	slot, err := keys.SealSlot(box, id, "Ärztin mit Passwort")
	if err != nil {
		t.Fatal(err)
	}
	u := &keys.Unlocker{}
	if got, err := u.OpenSlot(box, slot, "Ärztin mit Passwort"); err != nil || got.String() != id.String() {
		t.Errorf("OpenSlot with the other form of the letter = %v", err)
	}
	if _, err := u.OpenSlot(box, slot, "wrong passphrase!"); !errors.Is(err, keys.ErrWrongPassword) {
		t.Errorf("OpenSlot with a wrong one = %v", err)
	}
	if _, err := u.OpenSlot(other, slot, "Ärztin mit Passwort"); !errors.Is(err, keys.ErrDamaged) {
		t.Errorf("OpenSlot on another box = %v", err)
	}
	if _, err := keys.SealSlot(box, id, "short"); !errors.Is(err, keys.ErrShort) {
		t.Errorf("SealSlot with a short one = %v", err)
	}
}

// chain makes two statements: the first signed by its log key, the second as
// the caller says.
func chain(t *testing.T, second func(s keys.Statement, firstKey, secondKey string) ([]byte, error)) [][]byte {
	t.Helper()
	return chainOf(t, nil, second)
}

// chainOf is chain with a recovery key.
func chainOf(t *testing.T, recovery *age.X25519Identity, second func(s keys.Statement, firstKey, secondKey string) ([]byte, error)) [][]byte {
	t.Helper()
	k1, v1, err := keys.NewLogKey("m")
	if err != nil {
		t.Fatal(err)
	}
	k2, v2, err := keys.NewLogKey("m")
	if err != nil {
		t.Fatal(err)
	}
	one := keys.Statement{Format: 1, Mirror: "m", Number: 1, Epoch: 1, LogKey: v1}
	if recovery != nil {
		k, err := keys.RecoverySigner(recovery)
		if err != nil {
			t.Fatal(err)
		}
		one.RecoveryKey = base64.StdEncoding.EncodeToString(k.Public().(ed25519.PublicKey))
	}
	a, err := keys.SignByLog(one, k1)
	if err != nil {
		t.Fatal(err)
	}
	two := one
	two.Number, two.Previous = 2, keys.Hash(a)
	if recovery != nil {
		two.Epoch, two.LogKey, two.Fork = 2, v2, keys.Fork{Parts: 3, Checkpoints: 2, Size: 10}
	}
	b, err := second(two, k1, k2)
	if err != nil {
		t.Fatal(err)
	}
	return [][]byte{a, b}
}

func TestStatements(t *testing.T) {
	good := chain(t, func(s keys.Statement, first, _ string) ([]byte, error) { return keys.SignByLog(s, first) })
	if s, err := keys.VerifyChain(good, keys.Hash(good[0])); err != nil || s.Last().Number != 2 {
		t.Errorf("VerifyChain = %+v, %v", s, err)
	}
	forged := map[string][][]byte{
		"signed by its own key": chain(t, func(s keys.Statement, _, own string) ([]byte, error) { return keys.SignByLog(s, own) }),
		"of another mirror": chain(t, func(s keys.Statement, first, _ string) ([]byte, error) {
			s.Mirror = "other"
			return keys.SignByLog(s, first)
		}),
		"changed after signing": {good[0], bytes.Replace(good[1], []byte(`"epoch":1`), []byte(`"epoch":2`), 1)},
		"the first is left out": {good[1]},
	}
	for name, files := range forged {
		if _, err := keys.VerifyChain(files, ""); !errors.Is(err, keys.ErrForged) {
			t.Errorf("%s: VerifyChain = %v, want ErrForged", name, err)
		}
	}
	if _, err := keys.VerifyChain(good, strings.Repeat("0", 64)); !errors.Is(err, keys.ErrForged) {
		t.Errorf("another first file: VerifyChain = %v", err)
	}
}

// TestEpochs: a new epoch, and a new log key with it, begins only with a fork that the
// recovery key has signed.
func TestEpochs(t *testing.T) {
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	made := func(change func(*keys.Statement)) [][]byte {
		return chainOf(t, recovery, func(s keys.Statement, _, _ string) ([]byte, error) {
			change(&s)
			return keys.SignByRecovery(s, recovery)
		})
	}
	good := made(func(*keys.Statement) {})
	c, err := keys.VerifyChain(good, "")
	if err != nil || len(c) != 2 {
		t.Fatalf("VerifyChain = %d statements, %v", len(c), err)
	}
	for n, want := range map[int]int{1: 0, 2: 0, 3: 1, 9: 1} {
		if got := c.LogKeyAt(n); got != c[want].LogKey {
			t.Errorf("checkpoint %d: the key of epoch %d was expected", n, want+1)
		}
	}
	for n, want := range map[int]int{1: 1, 3: 1, 4: 2} {
		if got := c.EpochAt(n); got != want {
			t.Errorf("part %d: epoch %d, want %d", n, got, want)
		}
	}
	forged := map[string][][]byte{
		"signed by the box alone": chainOf(t, recovery, func(s keys.Statement, first, _ string) ([]byte, error) { return keys.SignByLog(s, first) }),
		"signed by its own log key": chainOf(t, recovery, func(s keys.Statement, _, own string) ([]byte, error) {
			return keys.SignByLog(s, own)
		}),
		"signed by a stranger":         chainOf(t, recovery, func(s keys.Statement, _, _ string) ([]byte, error) { return keys.SignByRecovery(s, stranger) }),
		"a new log key without a fork": made(func(s *keys.Statement) { s.Fork, s.Epoch = keys.Fork{}, 1 }),
		"a new epoch without a fork":   made(func(s *keys.Statement) { s.Fork = keys.Fork{} }),
		"a fork without a new epoch":   made(func(s *keys.Statement) { s.Epoch = 1 }),
		"an epoch is left out":         made(func(s *keys.Statement) { s.Epoch = 3 }),
	}
	for name, files := range forged {
		if _, err := keys.VerifyChain(files, ""); !errors.Is(err, keys.ErrForged) {
			t.Errorf("%s: VerifyChain = %v, want ErrForged", name, err)
		}
	}
}

func TestOfficeKey(t *testing.T) {
	office, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	recovery, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	s := keys.Statement{Recipients: []keys.Recipient{{Role: "office", Key: office.Recipient().String()}}}
	if s.OfficeKey, err = keys.SealOfficeKey(office, recovery); err != nil {
		t.Fatal(err)
	}
	if got, err := keys.OpenOfficeKey(s, recovery); err != nil || got.String() != office.String() {
		t.Errorf("OpenOfficeKey = %v", err)
	}
	if _, err := keys.OpenOfficeKey(s, office); err == nil {
		t.Error("the office key opens itself")
	}
	s.Recipients[0].Key = recovery.Recipient().String()
	if _, err := keys.OpenOfficeKey(s, recovery); !errors.Is(err, keys.ErrDamaged) {
		t.Errorf("OpenOfficeKey of another recipient = %v", err)
	}
}

func FuzzParseSheet(f *testing.F) {
	f.Add("1. AGE-S ECRET -KEY- [AB]")
	f.Add("AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33")
	f.Fuzz(func(t *testing.T, typed string) {
		if id, err := keys.ParseSheet(typed); err == nil && !strings.HasPrefix(id.String(), "AGE-SECRET-KEY-1") {
			t.Error("accepted what is no key")
		}
	})
}

func FuzzVerifyChain(f *testing.F) {
	f.Add([]byte(`{"statement":{"format":1,"mirror":"m","number":1,"epoch":1},"signatures":[]}`))
	f.Fuzz(func(t *testing.T, file []byte) {
		if _, err := keys.VerifyChain([][]byte{file}, ""); err == nil && !bytes.Contains(file, []byte("signature")) {
			t.Error("accepted an unsigned statement")
		}
	})
}

// TestPhrase: a copy phrase opens what was sealed to it, however it is typed; another
// one does not, and a word that is in no list is named.
func TestPhrase(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	phrase, err := keys.NewPhrase()
	if err != nil || len(strings.Fields(phrase)) != 6 || keys.PhraseWord(phrase) != 0 {
		t.Fatalf("NewPhrase = %q, %v", phrase, err)
	}
	file, err := keys.SealPhrase(id, phrase)
	if err != nil {
		t.Fatal(err)
	}
	typed := "  " + strings.ToUpper(strings.ReplaceAll(phrase, " ", "\n ")) + " "
	if got, err := keys.OpenPhrase(file, typed); err != nil || got.String() != id.String() {
		t.Errorf("typed otherwise: %v", err)
	}
	other, _ := keys.NewPhrase()
	if _, err := keys.OpenPhrase(file, other); !errors.Is(err, keys.ErrWrongPassword) {
		t.Errorf("another phrase: %v", err)
	}
	if n := keys.PhraseWord("abandon abilty able"); n != 2 {
		t.Errorf("PhraseWord = %d, want 2", n)
	}
}

// strongAgain makes passphrases as strong as they are outside tests.
var strongAgain func()

func TestMain(m *testing.M) {
	strongAgain = keys.CheapForTests()
	os.Exit(m.Run())
}

// TestWorkFactors: outside tests a passphrase and a copy phrase cost what docs/format.md
// says.
func TestWorkFactors(t *testing.T) {
	strongAgain()
	defer func() { keys.CheapForTests() }()
	box, err := keys.NewBox()
	if err != nil {
		t.Fatal(err)
	}
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	slot, err := keys.SealSlot(box, id, "a long passphrase")
	if err != nil {
		t.Fatal(err)
	}
	if slot, err = box.Open("slot", slot); err != nil {
		t.Fatal(err)
	}
	phrase, err := keys.SealPhrase(id, "one two three four five six")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		file []byte
		want string
	}{{slot, "17"}, {phrase, "18"}} {
		stanza := strings.Fields(strings.Split(string(tt.file), "\n")[1]) // -> scrypt SALT FACTOR
		if len(stanza) != 4 || stanza[1] != "scrypt" || stanza[3] != tt.want {
			t.Errorf("sealed with %q, want the factor %s", stanza, tt.want)
		}
	}
}
