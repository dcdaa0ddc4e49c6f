package keys

import (
	"fmt"
	"strings"
	"time"

	"filippo.io/age"
)

// A Sheet is the recovery sheet: the one paper that opens every record when
// the box, the passphrases and we are gone.
type Sheet struct {
	Practice      string
	Mirror        string // UUID
	Recovery      *age.X25519Identity
	StatementHash string // SHA-256 of mirror/000001.json
	LogKey        string
	Recipients    []Recipient
	Created       time.Time
}

// letters are the check letters: none looks like another or like a digit.
const letters = "ABCDEFGHJKMNPRTWXY"

// groupsInLine and groupLen lay the 74 characters of the key out.
const (
	groupLen     = 5
	groupsInLine = 3
)

// Lines returns the lines of the key as they are printed, in groups, without
// their numbers and check letters.
func (s Sheet) Lines() []string {
	key := s.Recovery.String()
	var lines []string
	for len(key) > 0 {
		n := min(groupLen*groupsInLine, len(key))
		lines = append(lines, group(key[:n]))
		key = key[n:]
	}
	return lines
}

func group(s string) string {
	var parts []string
	for len(s) > 0 {
		n := min(groupLen, len(s))
		parts = append(parts, s[:n])
		s = s[n:]
	}
	return strings.Join(parts, " ")
}

// Check returns the two check letters of a line of the key, from 1. They are a
// weighted sum modulo a prime: any one wrong character, any two exchanged ones
// and any two exchanged lines give other letters.
func Check(number int, line string) string {
	const prime = 317
	n := number * 101
	weight := 0
	for _, r := range strings.ToUpper(strings.Map(keyRune, line)) {
		weight++
		n += weight * int(r)
	}
	n %= prime
	return string([]byte{letters[n%len(letters)], letters[n/len(letters)]})
}

// keyRune drops what a person adds between the characters of a key.
func keyRune(r rune) rune {
	switch r {
	case ' ', '\t', '.', ',', '\u00a0':
		return -1
	}
	return r
}

// A LineError says which line of a typed sheet is wrong.
type LineError struct{ Line int }

// Error implements error.
func (e *LineError) Error() string {
	return fmt.Sprintf("line %d of the recovery key does not match its check letters", e.Line)
}

// ParseSheet reads a recovery key as a person types it from the sheet: the
// numbered lines with their check letters, in any case, with any spaces; or
// the bare key. A line that does not match its check letters is a *LineError.
func ParseSheet(typed string) (*age.X25519Identity, error) {
	var key strings.Builder
	number := 0
	for line := range strings.Lines(typed) {
		body, check, numbered := splitLine(line)
		if body == "" {
			continue
		}
		number++
		if numbered && check != Check(number, body) {
			return nil, &LineError{number}
		}
		key.WriteString(strings.ToUpper(strings.Map(keyRune, body)))
	}
	id, err := age.ParseX25519Identity(key.String())
	if err != nil {
		return nil, fmt.Errorf("these lines are no recovery key: %d characters were read, a key has 74",
			key.Len())
	}
	return id, nil
}

// splitLine takes the number and the check letters off a line of the sheet.
func splitLine(line string) (body, check string, numbered bool) {
	line = strings.TrimSpace(line)
	fields := strings.Fields(line)
	if len(fields) < 3 {
		return line, "", false
	}
	first := strings.TrimRight(fields[0], ".):")
	last := strings.ToUpper(strings.Trim(fields[len(fields)-1], "[]()"))
	if len(first) > 2 || strings.Trim(first, "0123456789") != "" || len(last) != 2 {
		return line, "", false
	}
	return strings.Join(fields[1:len(fields)-1], " "), last, true
}

// Text returns the sheet as plain text, at most 78 columns.
func (s Sheet) Text() string {
	var b strings.Builder
	p := func(format string, a ...any) { fmt.Fprintf(&b, format+"\n", a...) }
	p("RECOVERY SHEET - %s", s.Practice)
	p("Made on %s by chartcellar. Mirror %s", s.Created.Format("2006-01-02"), s.Mirror)
	p("")
	for _, line := range sheetWords {
		p("%s", line)
	}
	p("")
	p("THE RECOVERY KEY (the two letters at the end of a line check that line)")
	p("")
	for i, line := range s.Lines() {
		p("  %d.  %-18s [%s]", i+1, line, Check(i+1, line))
	}
	p("")
	p("TO OPEN THE COPY WITHOUT CHARTCELLAR")
	p("  Type the key without spaces and numbers into a file key.txt, then, with the")
	p("  free programs age and zstd:")
	p("    age -d -i key.txt parts/000000/000000000001.ndjson.zst.age | zstd -d")
	p("")
	p("IF THE BOX IS STOLEN")
	p("  Call the EMR vendor and have this program's access revoked.")
	p("  Vendor's telephone: ______________________  Client id: ____________________")
	p("")
	p("TO CHECK THAT A COPY IS THIS PRACTICE'S")
	p("  SHA-256 of mirror/000001.json:")
	p("    %s", s.StatementHash[:min(32, len(s.StatementHash))])
	p("    %s", s.StatementHash[min(32, len(s.StatementHash)):])
	p("  Log key:")
	for _, part := range wrap(s.LogKey, 70) {
		p("    %s", part)
	}
	for _, r := range s.Recipients {
		p("  Encrypted to (%s):", r.Role)
		p("    %s", r.Key)
	}
	return b.String()
}

// sheetWords say what the sheet is, to whoever finds it.
var sheetWords = []string{
	"This paper opens every patient record in the office copy of this practice.",
	"Keep it where you keep what must not burn and must not be found: a safe, a",
	"bank box, your lawyer. Not in the office, not in a photograph, not in a mail.",
	"Whoever holds it can read all charts. If it is lost: chartcellar keys sheet",
	"new. If it may be in wrong hands: chartcellar keys rekey ends what it opens.",
}

func wrap(s string, n int) []string {
	var out []string
	for len(s) > n {
		out = append(out, s[:n])
		s = s[n:]
	}
	return append(out, s)
}
