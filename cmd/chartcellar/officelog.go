package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/charts"
	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store"
	accounts "chartcellar/store/access"
	"chartcellar/store/journal"
)

// A logWord is what a code of the journal means. System says that such a line tells
// of the system and of no patient.
type logWord struct {
	words  string
	system bool
}

// logWords returns what the codes of the journal mean; lines of every release stay,
// so no code is ever taken out.
func logWords() map[string]logWord {
	return map[string]logWord{
		"chart.view":      {"looked at the chart", false},
		"document.list":   {"looked at the list of documents", false},
		"document.open":   {"opened a document", false},
		"document.save":   {"saved a document as a file", false},
		"patient.print":   {"printed a chart", false},
		"patient.pdf":     {"wrote a chart into a PDF file", false},
		"patient.html":    {"wrote a chart into a web page", false},
		"patient.zip":     {"made the package for a patient", false},
		"downtime.view":   {"looked at the downtime sheet", false},
		"downtime.save":   {"saved the downtime sheet as a file", false},
		"downtime.make":   {"the downtime sheet was made and kept", true},
		"downtime.now":    {"asked for a downtime sheet", true},
		"downtime.list":   {"gave a list of patients for the downtime sheet", true},
		"patients.search": {"looked for a patient", false},
		"record.view":     {"looked at a record", false},
		"record.take":     {"took a record out as a file", false},
		"records.search":  {"searched the text of records", false},
		"search.shown":    {"saw what a search had found of a patient", false},
		"cohort.export":   {"saved a list of patients that a search had found", false},
		"removed.list":    {"looked at what the EMR has removed", false},
		"export":          {"exported records", false},
		"evidence.export": {"exported the evidence", false},
		"log.patient":     {"looked at who saw a patient", false},
		"log.all":         {"looked at the access log", false},
		"log.account":     {"looked at what somebody saw", false},
		"patients.sealed": {"looked at who is sealed", false},
		"patient.seal":    {"sealed a patient", false},
		"patient.unseal":  {"took the seal of a patient off", false},
		"held.view":       {"looked at examples of a held change", false},
		"holding.files":   {"looked at the names of files kept beside the records", false},
		"holding.get":     {"saved files that are kept beside the records", false},
		"verify.source":   {"compared records with the EMR", false},

		"run.now":           {"started a backup", true},
		"run.stop":          {"stopped what was running", true},
		"run.accept":        {"accepted a held change", true},
		"run.reject":        {"rejected a held change", true},
		"verify.now":        {"started a verification", true},
		"verify.quick":      {"had the files of the copy looked at", true},
		"verify.rolling":    {"had the next part of the copy read again", true},
		"verify.sample":     {"had a sample of the copy read again", true},
		"verify.full":       {"had the whole copy read again", true},
		"repair.file":       {"mended a file of the copy", true},
		"repair.view":       {"looked at whose records are damaged", false},
		"repair.lost":       {"stated that a file of the copy is lost", true},
		"schedule.pause":    {"paused the backups", true},
		"schedule.resume":   {"let the backups go on", true},
		"settings.changed":  {"changed the settings", true},
		"source.add":        {"added an EMR", true},
		"source.test":       {"tested the connection to the EMR", true},
		"source.key":        {"made a new key for signing in to the EMR", true},
		"copy.add":          {"set up a second copy", true},
		"copy.phrase":       {"gave a second copy six words that open it", true},
		"copy.test":         {"tested the place of a second copy", true},
		"copy.offsite":      {"brought a second copy up to date", true},
		"copy.offsitecheck": {"compared a second copy with the office copy", true},
		"copy.now":          {"asked for a second copy to be brought up to date", true},
		"copy.check":        {"asked for a second copy to be compared", true},
		"drill.begin":       {"typed the recovery sheet for a restore drill", true},
		"drill":             {"tried whether a second copy comes back", true},
		"source.renew":      {"renewed the sign-in to the EMR", true},
		"mirror.adopt":      {"made this restored copy the office copy", true},
		"holding.add":       {"kept files beside the records", true},
		"holding.keep":      {"kept what was new in a watched folder", true},
		"holding.connect":   {"had a folder of files watched", true},
		"alerts.password":   {"changed the password for the mail server", true},
		"keys.passphrase":   {"set a passphrase", true},
		"keys.sheet":        {"fetched the recovery sheet to print it", true},
		"keys.sheet.new":    {"made a new recovery sheet", true},
		"keys.rekey":        {"gave the office copy new keys", true},
		"keys.second-page":  {"printed the second page of the recovery sheet", true},
		"keys.sheet.proven": {"proved that the recovery sheet is on paper", true},

		accounts.CodeSetupCode:    {"had a setup code made", true},
		accounts.CodeSetup:        {"set up the first owner", true},
		accounts.CodeRescue:       {"had a code made to let a locked-out owner in", true},
		accounts.CodeStartOver:    {"began the accounts anew", true},
		accounts.CodeCreate:       {"made an account", true},
		accounts.CodeChange:       {"changed an account", true},
		accounts.CodeReset:        {"set another person's password", true},
		accounts.CodePassword:     {"changed their own password", true},
		accounts.CodeDisable:      {"closed an account", true},
		accounts.CodeEnable:       {"opened an account again", true},
		accounts.CodeCloseSlot:    {"took away a key to the charts", true},
		accounts.CodeIdle:         {"changed after what time the screen locks", true},
		accounts.CodeSignIn:       {"signed in", true},
		accounts.CodeSignInFailed: {"could not sign in", true},
		accounts.CodeSignOut:      {"signed out", true},
		accounts.CodeLock:         {"locked the screen, or it locked itself", true},
		accounts.CodeUnlock:       {"unlocked the screen", true},
		accounts.CodeStepUp:       {"gave the password once more", true},
		accounts.CodeEmergency:    {"opened emergency access", true},
		accounts.CodeEmergencyEnd: {"ended emergency access", true},
		accounts.CodeReview:       {"reviewed an emergency access", true},
	}
}

// A page of the log is sought among this many lines, and for so long; then it is
// shown as it is, and the next page goes on there.
const (
	logLines = 20_000
	logTime  = 2 * time.Second
)

// errLogEnd ends the reading of the log when a page is made.
var errLogEnd = errors.New("the page is full")

// Log implements viewer.AccessLog. That all of it was looked at is in the log first: its
// notes say what people searched for.
func (o *office) Log(ctx context.Context, a viewer.Actor, scope viewer.LogScope, before uint64, n int) (viewer.LogPage, error) {
	if scope == viewer.LogAll {
		if err := o.m.Journal(store.Event{Code: "log.all", Account: a.Account, Note: charts.Note(a)}); err != nil {
			return viewer.LogPage{}, err
		}
	}
	return o.logLines(ctx, a, scope, before, n)
}

// logLines makes a page of the log. Free text, and with it the address and account
// that an event names, is opened for LogAll only. A page may hold fewer lines than n,
// or none, though More says that there are older ones.
func (o *office) logLines(ctx context.Context, a viewer.Actor, scope viewer.LogScope, before uint64, n int) (viewer.LogPage, error) {
	r := &logReader{m: o.m, a: a, scope: scope, n: n, now: o.now, words: logWords()}
	if !r.allowed() {
		return viewer.LogPage{}, viewer.ErrNotFound
	}
	r.until = o.now().Add(logTime)
	r.page.All = -1
	if before > math.MaxInt64 {
		before = 0
	}
	err := o.m.EachJournalLine(ctx, int64(before), r.line)
	if ctx.Err() != nil {
		return viewer.LogPage{}, ctx.Err()
	}
	if errors.Is(err, store.ErrLocked) {
		if len(r.page.Lines) == 0 {
			return viewer.LogPage{}, viewer.ErrLocked
		}
		r.page.Locked = true
	}
	broken := errors.Is(err, journal.ErrBroken) || errors.Is(err, store.ErrDamaged)
	if err != nil && !broken && !r.page.Locked && !errors.Is(err, errLogEnd) {
		return viewer.LogPage{}, err
	}
	o.logChain(ctx, r)
	switch {
	case errors.Is(err, store.ErrDamaged):
		r.page.Chain = health.Check{Answer: health.No, At: o.now(), Words: "A file of the archive that may hold lines of the log cannot be read."}
	case broken:
		r.page.Chain = health.Check{Answer: health.No, At: o.now(), Words: "Among the lines on this page, or between them, one was changed or is missing."}
	}
	return r.page, nil
}

// logChain notes what is known of the chain, beside the lines of a page, and how long
// it is.
func (o *office) logChain(ctx context.Context, r *logReader) {
	c, err := o.m.CheckJournal(ctx)
	if err == nil && r.scope == viewer.LogAll {
		r.page.All = int(c.Newest) // numbers begin at 1 and leave none out
	}
	r.page.Chain = o.chainWords(ctx, c, err, r.looked)
}

func (o *office) chainWords(ctx context.Context, c journal.Chain, err error, looked int) health.Check {
	switch {
	case err != nil:
		o.e.logger().ErrorContext(ctx, "chain of the journal not checked", "cause", err.Error())
		return health.Check{Words: "The newest lines could not be read for it."}
	case c.Wrong > 0:
		return health.Check{Answer: health.No, At: c.At, Words: fmt.Sprintf("Line %d was changed, or it or the one before is missing.", c.Wrong)}
	case c.Lines == 0 && looked == 0:
		return health.Check{Words: "There was no line to check."}
	case c.Lines == 0:
		return health.Check{Answer: health.Yes, At: o.now(), Words: "The lines on this page were checked. Every line is in the archive, which each verification checks."}
	}
	return health.Check{Answer: health.Yes, At: c.At, Words: fmt.Sprintf(
		"The lines on this page were checked, and %s not in the archive yet; each verification checks those in the archive.", plural(int(c.Lines), "line"))}
}

// A logReader makes a page of the log.
type logReader struct {
	m      *store.Mirror
	a      viewer.Actor
	scope  viewer.LogScope
	n      int
	now    func() time.Time
	until  time.Time
	words  map[string]logWord
	looked int
	page   viewer.LogPage
}

// allowed reports whether the actor may see this much of the log at all.
func (r *logReader) allowed() bool {
	switch r.scope {
	case viewer.LogAll:
		return accounts.Can(r.a.Role, 0, accounts.SeeAccessLog)
	case viewer.LogSystem:
		return accounts.Can(r.a.Role, 0, accounts.SeeSystemLog)
	}
	return r.scope == viewer.LogOwn && r.a.Account != ""
}

// line takes the next line, newest first.
func (r *logReader) line(l journal.Line) error {
	full := len(r.page.Lines) >= r.n || r.looked >= logLines
	if full || r.looked%64 == 63 && r.now().After(r.until) {
		r.page.More = uint64(l.Seq) + 1
		return errLogEnd
	}
	r.looked++
	if !r.shows(l) {
		return nil
	}
	shown, err := r.show(l)
	r.page.Lines = append(r.page.Lines, shown)
	return err
}

// word is what a code means. Those of alerts are made of what was told and how far it
// was: alert.overdue.began.
func (r *logReader) word(code string) logWord { return wordOf(r.words, code) }

// wordOf is what a code means, by the words of the codes.
func wordOf(words map[string]logWord, code string) logWord {
	if alert, ok := strings.CutPrefix(code, "alert."); ok {
		return logWord{"told of: " + strings.ReplaceAll(alert, ".", ", "), true}
	}
	return words[code]
}

// shows reports whether a line belongs to the scope.
func (r *logReader) shows(l journal.Line) bool {
	switch r.scope {
	case viewer.LogAll:
		return true
	case viewer.LogSystem:
		return r.word(l.Code).system && l.Patient == ""
	}
	return l.Account == r.a.Account
}

// show puts a line in words.
func (r *logReader) show(l journal.Line) (viewer.LogLine, error) {
	out := viewer.LogLine{Number: uint64(l.Seq), At: l.Time, Account: l.Account, Code: l.Code, What: r.word(l.Code).words}
	out.Target = logTarget(l)
	if r.scope != viewer.LogAll {
		return out, nil
	}
	note, err := r.m.OpenNote(l)
	switch {
	case errors.Is(err, store.ErrLocked):
		return out, nil
	case err != nil:
		out.Note = "(this note is damaged)"
		return out, nil
	case !strings.HasPrefix(l.Code, "access.") && !strings.HasPrefix(l.Code, "keys.sheet"):
		var emergency string
		if out.Note, out.Address, emergency = charts.TakeApart(note); emergency != "" {
			out.What += " under emergency access"
		}
		return out, nil
	}
	var account string
	account, out.Address, out.Note = splitNote(note)
	if account != "" {
		out.Target = account
	}
	return out, nil
}

// logTarget says what a line is about, as far as it stands there in clear. A patient
// is only a mark, the same in all lines about one.
func logTarget(l journal.Line) string {
	var parts []string
	if l.Type != "" {
		parts = append(parts, l.Type)
	}
	if len(l.Patient) >= 8 {
		parts = append(parts, "patient #"+l.Patient[:8])
	}
	if l.Run != 0 {
		parts = append(parts, fmt.Sprint("run ", l.Run))
	}
	if l.Source != "" {
		parts = append(parts, l.Source)
	}
	return strings.Join(parts, ", ")
}

// splitNote takes apart what office.journal has put together.
func splitNote(note string) (account, address, rest string) {
	rest = note
	if name, ok := strings.CutPrefix(rest, "account "); ok { // a name holds no semicolon
		account, rest, _ = strings.Cut(name, "; ")
	}
	if text, ok := strings.CutPrefix(rest, "from "); ok {
		from, more, _ := strings.Cut(text, "; ")
		if isAddress(from) {
			address, rest = from, more
		}
	}
	return account, address, rest
}

// isAddress tells where somebody came from, apart from a note that begins like it.
func isAddress(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	_, err := netip.ParsePrefix(s)
	return err == nil
}

// How far back Home tells of changes, and among how many lines it looks for them.
const (
	changesTime  = 7 * 24 * time.Hour
	changesLines = 3000
	mostChanges  = 20
)

// isChange reports whether an event stays on Home for a week, with the name of who did
// it: whatever everybody is told of at once, a decision about what a run holds, and what
// was done with the recovery sheet or a key slot.
func isChange(code string) bool {
	_, told := changeWords[code]
	return told || code == "run.accept" || code == "run.reject" || strings.HasPrefix(code, "keys.sheet") || code == accounts.CodeCloseSlot
}

// recentChanges are the changes of the last week, newest first. Of lines that are in
// the archive already it knows only while the copy is open.
func (o *office) recentChanges(ctx context.Context) ([]viewer.SettingChange, error) {
	var list []viewer.SettingChange
	words, since, looked := logWords(), o.now().Add(-changesTime), 0
	err := o.m.EachJournalLine(ctx, 0, func(l journal.Line) error {
		if looked++; l.Time.Before(since) || looked > changesLines || len(list) == mostChanges {
			return errLogEnd
		}
		if !isChange(l.Code) {
			return nil
		}
		who := l.Account
		if who == "" {
			who = "somebody at the computer"
		}
		what := words[l.Code].words
		l.Patient = "" // Home is for everybody, and not even a mark belongs there
		if target := logTarget(l); target != "" {
			what += ": " + target
		}
		list = append(list, viewer.SettingChange{At: l.Time, Who: who, What: what})
		return nil
	})
	if errors.Is(err, errLogEnd) || errors.Is(err, store.ErrLocked) || errors.Is(err, store.ErrDamaged) || errors.Is(err, journal.ErrBroken) {
		err = nil // the log's own page says what is wrong with it
	}
	return list, err
}
