package viewer

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/store/access"
)

// number writes a number with thousands apart; a negative one is not known.
func number(n int) string {
	if n < 0 {
		return "not known"
	}
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// signedNumber writes a change.
func signedNumber(n int) string {
	switch {
	case n > 0:
		return "+" + number(n)
	case n < 0:
		return "−" + number(-n)
	}
	return "no change"
}

// size writes a number of bytes; a negative one is not known.
func size(n int64) string {
	switch f := float64(n); {
	case n < 0:
		return "not known"
	case n < 1000:
		return fmt.Sprintf("%d bytes", n)
	case n < 1e6:
		return fmt.Sprintf("%.0f KB", f/1e3)
	case n < 1e9:
		return fmt.Sprintf("%.1f MB", f/1e6)
	case n < 1e12:
		return fmt.Sprintf("%.1f GB", f/1e9)
	default:
		return fmt.Sprintf("%.2f TB", f/1e12)
	}
}

func signedSize(n int64) string {
	switch {
	case n > 0:
		return "+" + size(n)
	case n < 0:
		return "−" + size(-n)
	}
	return "no change"
}

// span writes a duration; a negative one is not known.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "not known"
	case d > 0 && d < time.Second:
		return "under 1 s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return health.Age(d)
}

// known is for a word that may be missing.
func known(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

func percent(n, all int) string {
	if all <= 0 || n < 0 {
		return "not known"
	}
	return fmt.Sprintf("%d %%", n*100/all)
}

func several(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return number(n) + " " + many
}

// A mark is a word with a sign and a class, so that nothing is said by colour only.
type mark struct{ Word, Icon, Class string }

// verdicts are what a run comes to, as people say it. "" is a run without an end.
var verdicts = map[string]struct {
	mark
	meaning string
}{
	"complete": {mark{"complete", "good", "good"},
		"Everything the EMR gave is in the office copy."},
	"complete with gaps": {mark{"complete with gaps", "warning", "warning"},
		"The run ended. What could not be had is named below, and the next run asks for it again."},
	"held": {mark{"waits for your decision", "warning", "warning"},
		"Something looks wrong at the EMR. What came is stored, and does not count until a person decides."},
	"interrupted": {mark{"interrupted", "failed", "failed"},
		"The run was broken off. What was stored is kept; the next run compares again."},
	"failed": {mark{"failed", "failed", "failed"},
		"The run failed. Nothing in the office copy was changed for the worse, and nothing is lost."},
	"nothing wrong": {mark{"nothing is wrong", "good", "good"},
		"The copy was read again and nothing is wrong with it."},
	"damage": {mark{"damage found", "failed", "failed"},
		"Something in the copy cannot be read as it was written. It is named below."},
	"equal": {mark{"the same as at the EMR", "good", "good"},
		"Records were fetched again at random, and are the same here."},
	"differs": {mark{"differs from the EMR", "failed", "failed"},
		"Records that were fetched again at random are not the same here."},
	"not all compared": {mark{"not all could be compared", "warning", "warning"},
		"Not every record of the sample could be read at the EMR."},
	"not complete": {mark{"not complete", "warning", "warning"},
		"It did not come to its end. What was done is kept, and the next one goes on there."},
	"passed":     {mark{"passed", "good", "good"}, "The second copy came back with the key of the printed sheet alone."},
	"not passed": {mark{"not passed", "failed", "failed"}, "The second copy did not come back as it must. What is wrong is named below."},
	"decision": {mark{"decision", "good", "info"},
		"This is the record of a decision, not of a run."},
	"sealed": {mark{"a patient is hidden", "good", "info"},
		"A person sealed a patient whom the EMR gave by mistake. Every byte stays, and nobody sees the records."},
	"unsealed": {mark{"a patient is shown again", "good", "info"},
		"A person took the seal of a patient off. The records are shown again."},
	"lost": {mark{"declared lost", "warning", "warning"},
		"Files were damaged, no copy had them, and a person declared them lost. The next backup brings again what the EMR still has."},
	"": {mark{"broken off; the next run goes on", "warning", "warning"},
		"The run was broken off before it could be judged. What was stored is kept; the next run goes on."},
}

// verdictOf marks what a run came to; running says that it goes on.
func verdictOf(v string, running bool) mark {
	if running {
		return mark{"running", "run", "info"}
	}
	if known, ok := verdicts[v]; ok {
		return known.mark
	}
	return mark{v, "new", "info"}
}

// meanings are what a verdict means for a kind of run, where it is not what it means for
// a backup.
var meanings = map[[2]string]string{
	{"offsite", "complete"}:      "Everything that the office copy held then is at the second copy, and each new file was read back.",
	{"offsite", "damage"}:        "Files of the second copy, or of the office copy, are not what was written. They are named below.",
	{"offsitecheck", "complete"}: "What was read of the second copy is what was written, and no file is missing.",
	{"offsitecheck", "damage"}:   "Files of the second copy are not what was written. They are named below.",
	{"offsitetest", "complete"}:  "A file could be written there and read back.",
}

// verdictWords say what a verdict means, of a kind of run.
func verdictWords(kind, v string, running bool) string {
	if running {
		return "The run is under way. It changes nothing about how good the copy is until it has ended."
	}
	if words, ok := meanings[[2]string{kind, v}]; ok {
		return words
	}
	if known, ok := verdicts[v]; ok {
		return known.meaning
	}
	return verdicts[""].meaning
}

// typeWords writes the name of a type as words: AllergyIntolerance.
func typeWords(t string) string {
	var b strings.Builder
	for i, r := range t {
		if i > 0 && unicode.IsUpper(r) {
			b.WriteByte(' ')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

func modeWords(m string) string {
	switch m {
	case "bulk":
		return "export"
	case "search", "listing":
		return "search"
	case "", "none":
		return "not fetched"
	}
	return m
}

// kindWords say what a run was, and of what.
func kindWords(k, source string) string {
	what := map[string]string{"sync": "backup of ", "verify": "check of ", "check": "sample of ", "decision": "decision about ", "repair": "loss in ", "seal": "decision about a patient of ",
		"offsite": "second copy ", "offsitecheck": "check of the second copy ", "offsitetest": "test of the second copy ", "drill": "restore drill of "}[k]
	if what == "" {
		what = "run of "
	}
	if source == "" {
		source = "the office copy"
	}
	return what + clean(source)
}

// gapName is a kind of gap as people call it.
func gapName(k string) string {
	switch k {
	case "attachment":
		return "document"
	case "line":
		return "record"
	case "page":
		return "page of a search"
	case "file":
		return "file of an export"
	case "type":
		return "kind of record"
	}
	return clean(k)
}

// gapKind says what a kind of gap means.
func gapKind(k string) string {
	switch k {
	case "type":
		return "The type is not whole. The next run asks for it again, from where it stands."
	case "file":
		return "A file of the export is not whole. The next run asks for the type again."
	case "page":
		return "A page of a search is missing. The next run asks for the type again."
	case "line":
		return "What came is no record. It is kept aside, and the type is compared whole again."
	case "attachment":
		return "The record is here, its document is not. The next run asks for it again."
	case "patient":
		return "Records name the patient, and the EMR does not give him. The next run asks again after a week."
	}
	return ""
}

// placeWords say what kind of place a second copy is at.
func placeWords(kind string) string {
	switch kind {
	case "folder":
		return "folder or disk"
	case "sftp":
		return "server (SFTP)"
	case "s3":
		return "bucket (S3)"
	}
	return clean(kind)
}

func roleWords(r access.Role) string {
	switch r {
	case access.Owner:
		return "Owner: everything"
	case access.Doctor:
		return "Doctor: charts, backups, exports; no accounts and no keys"
	case access.Manager:
		return "Manager: schedule, reports, copies; no charts unless an owner says so"
	case access.Staff:
		return "Staff: charts without what is labelled sensitive; sees the status"
	case access.IT:
		return "IT: the computer and its connections; never a chart"
	}
	return string(r)
}

// clean makes one line of a foreign text.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if turns(r) || r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// turns tells the characters that turn the direction of a line.
func turns(r rune) bool {
	return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200e || r == 0x200f
}
