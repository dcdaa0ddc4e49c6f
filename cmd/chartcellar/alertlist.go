package main

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
	"chartcellar/fhirsync/schedule"
	"chartcellar/fhirsync/smart"
	"chartcellar/store"
	"chartcellar/store/index"
	"chartcellar/store/keys"
)

// A watch is everything that alerts are made of.
type watch struct {
	in       health.Input
	gapDays  int
	ends     map[string]time.Time // the day on which the vendor ends the access, by source
	days     int                  // for which the disk has room; -1: not known
	full     bool                 // the disk has reached its reserve
	found    []store.ProblemKind
	jobs     map[string]trouble
	pulling  map[string]time.Time     // since when a pull is seen to run, by source
	overdue  map[string]bool          // told already, by source
	rings    map[string]*smart.Ring   // signing keys, by source
	skews    map[string]time.Duration // how far the EMR's clock is ahead, by source
	clock    time.Time                // what this computer's clock has shown already
	pingDown time.Time                // since when; zero: it is not
	fileDown time.Time
	copies   []copyState
	wrong    map[string]copyTrouble // what is wrong with a second copy, by its name
	unusable int                    // alert settings that cannot be used
	refused  bool                   // the settings file was changed to what cannot be used
	besides  []beside
	sheet    time.Time // since when a downtime sheet is owed; zero: none is
	locked   bool      // records cannot be read
}

// alerts says what is wrong at the moment: a pure function. Whatever makes the state
// of the copy "failed" has an alert.
func (w watch) alerts() []notify.Alert {
	var list []notify.Alert
	for _, src := range w.in.Sources {
		list = append(list, w.source(src)...)
	}
	list = append(list, w.damage()...)
	list = append(list, w.differs()...)
	list = append(list, w.secondCopies()...)
	list = append(list, w.drill()...)
	list = append(list, w.disk()...)
	list = append(list, w.clocks()...)
	list = append(list, w.others()...)
	list = append(list, w.holdings()...)
	if len(list) == 0 && health.Judge(w.in).Word == health.Failed {
		list = append(list, notify.Alert{Kind: notify.Failed, Level: notify.Warning,
			Text: notify.Say("The office copy is not as it should be."),
			Next: notify.Say("Nothing is deleted. Look at the start page, or run: chartcellar status")})
	}
	return slices.Concat(list, w.downtime(), w.ways())
}

func (w watch) at(t time.Time) notify.Fact { return notify.At(t.In(w.in.Zone)) }

// source says what is wrong with one EMR's copy.
func (w watch) source(src health.Source) (list []notify.Alert) {
	name := notify.Name(src.Name)
	add := func(k notify.Kind, l notify.Level, text, next notify.Text) {
		list = append(list, notify.Alert{Kind: k, Source: src.Name, Level: l, Text: text, Next: next})
	}
	if src.Overdue && !w.catchingUp(src) {
		age := w.in.Now.Sub(src.AsOf)
		level := notify.Warning
		if age > 72*time.Hour && !w.in.PausedUntil.After(w.in.Now) {
			level = notify.Red
		}
		add(notify.Overdue, level, notify.Say("The copy of %s is %s old; by your schedule there should be a newer one.", name, notify.For(age)),
			notify.Say("Nothing that was copied is lost. See that the office has internet, then press “Back up now” or run: chartcellar sync. It says what is wrong."))
	}
	if a, ok := w.failed(src); ok {
		list = append(list, a)
	}
	if src.Held > 0 {
		add(notify.Held, notify.Warning, notify.Say("%s of %s changed in a way that looks wrong and wait for your decision.",
			notify.Several(src.Held, "kind of records", "kinds of records"), name),
			notify.Say("Nothing is lost: the copy shows these records as they were. Open “Waiting for your decision”, or run: chartcellar runs show"))
	}
	limit := time.Duration(w.gapDays) * 24 * time.Hour
	if src.Gaps > 0 && w.in.Now.Sub(src.Oldest) > limit {
		add(notify.Gaps, notify.Warning, notify.Say("%s of %s could not be had, the oldest since %s.",
			notify.Several(src.Gaps, "thing", "things"), name, w.at(src.Oldest)),
			notify.Say("Everything else is here, and each run asks again. If it stays so, send the list to the vendor: chartcellar gaps"))
	}
	if a, ok := w.key(src.Name); ok {
		list = append(list, a)
	}
	if a, ok := w.access(src.Name); ok {
		list = append(list, a)
	}
	return list
}

// endsSoon is how long before its end the end of an access is told, endsUrgent when it
// becomes urgent.
const (
	endsSoon   = 30 * 24 * time.Hour
	endsUrgent = 7 * 24 * time.Hour
)

// access says that the vendor's consent ends soon, or has ended.
func (w watch) access(source string) (notify.Alert, bool) {
	end, known := w.ends[source]
	left := end.Sub(w.in.Now)
	if !known || left > endsSoon {
		return notify.Alert{}, false
	}
	a := notify.Alert{Kind: notify.Consent, Source: source, Level: notify.Warning,
		Text: notify.Say("The access to %s ends in %s, by what the settings say.", notify.Name(source), notify.For(left)),
		Next: notify.Say("Nothing is lost. Ask the vendor to renew it; then write the new day: chartcellar config path shows the file, access_ends is the line.")}
	if left <= endsUrgent {
		a.Level = notify.Red
	}
	if left < 0 {
		a.Text = notify.Say("The access to %s has ended by what the settings say, %s ago.", notify.Name(source), notify.For(-left))
	}
	return a, true
}

// patienceWithPull is for how long a pull that runs keeps people from hearing that the
// copy is overdue: after a night or a weekend with the computer off it makes up for it.
const patienceWithPull = 6 * time.Hour

func (w watch) catchingUp(src health.Source) bool {
	since, runs := w.pulling[src.Name]
	return runs && !w.overdue[src.Name] && w.in.Now.Sub(since) < patienceWithPull
}

// failed says that an EMR cannot be copied: what the last tries came to, or the last
// run.
func (w watch) failed(src health.Source) (notify.Alert, bool) {
	name := notify.Name(src.Name)
	for _, kind := range []schedule.Kind{schedule.Pull, schedule.Full} {
		t, ok := w.jobs[schedule.Job{Source: src.Name, Kind: kind}.String()]
		words, known := causeWords[t.Cause]
		if ok && known && (!words.patient || t.Tries >= patience) {
			return notify.Alert{Kind: words.kind, Source: src.Name, Level: words.level,
				Text: notify.Say(words.text, name, w.at(t.Since)), Next: notify.Say(words.next)}, true
		}
	}
	said := map[string]notify.Sentence{"failed": "The last run of %s failed, on %s.", "interrupted": "The last run of %s was broken off, on %s."}[src.Verdict]
	return notify.Alert{Kind: notify.Failed, Source: src.Name, Level: notify.Warning,
		Text: notify.Say(said, name, w.at(src.Ended)),
		Next: notify.Say("Nothing is lost: the copy is as it was. The report of the run says why: Backups page, or chartcellar runs show. It is tried again by your schedule.")}, said != ""
}

// key says what is to be done about the key with which this computer signs in.
func (w watch) key(source string) (notify.Alert, bool) {
	a := notify.Alert{Kind: notify.Key, Source: source, Level: notify.Warning}
	ring := w.rings[source]
	switch {
	case ring == nil:
		return a, false
	case ring.Wrong:
		a.Text = notify.Say("The published key for %s was not as it should be, or could not be read, when it was looked at on %s. The sign-in may soon be refused.",
			notify.Name(source), w.at(ring.Checked))
		a.Next = notify.Say("Nothing is lost. Put the key set back where the vendor looks for it, and check it: chartcellar connect signing-key, with --check")
		return a, true
	case ring.Next != nil && ring.Due.IsZero():
		a.Text = notify.Say("The change of the signing key for %s was begun and is not ended.", notify.Name(source))
		a.Next = notify.Say("Copying goes on with the old key. Publish both keys, then run: chartcellar connect signing-key, with --check or --pasted")
		return a, true
	}
	return a, false
}

// damage says what was found damaged in the mirror itself.
func (w watch) damage() (list []notify.Alert) {
	red := func(source string, text notify.Sentence) {
		list = append(list, notify.Alert{Kind: notify.Damage, Source: source, Level: notify.Red, Text: notify.Say(text),
			Next: notify.Say("Delete nothing: what is not damaged is good and can be read. Call whoever looks after the computer. Which files it is: chartcellar verify --depth full")})
	}
	if slices.Contains(w.found, store.ProblemJournal) {
		red("journal", "Lines of the journal, which says who did what, are missing or were changed.")
	}
	files := slices.Contains(w.found, store.ProblemFile)
	if files || w.in.Facts[health.ChainIntact].Answer == health.No && len(w.found) == 0 {
		red("", "Damage was found: files of the office copy are missing or not what was written.")
	}
	if slices.Contains(w.found, store.ProblemIndex) {
		list = append(list, notify.Alert{Kind: notify.Damage, Source: "index", Level: notify.Warning,
			Text: notify.Say("The index of the office copy was bad and was made anew from the archive."),
			Next: notify.Say("No record was lost. If it happens again, have the disk looked at.")})
	}
	return list
}

// differs says that the copy is not what the EMR has.
func (w watch) differs() (list []notify.Alert) {
	if w.in.Facts[health.SampleMatches].Answer == health.No {
		list = append(list, notify.Alert{Kind: notify.Differs, Source: "sample", Level: notify.Warning,
			Text: notify.Say("Records that were fetched again at random are not the same in the copy as at the EMR."),
			Next: notify.Say("Nothing is lost. A full run compares everything: chartcellar sync --full. Which records: chartcellar verify source")})
	}
	if w.in.Facts[health.CountsMatch].Answer == health.No {
		list = append(list, notify.Alert{Kind: notify.Differs, Source: "counts", Level: notify.Warning,
			Text: notify.Say("The EMR counts more records than the copy has, of at least one type."),
			Next: notify.Say("Nothing that was copied is lost, and each run asks again. Which types, and why: chartcellar runs certificate")})
	}
	return list
}

// disk says how the disk fills.
func (w watch) disk() (list []notify.Alert) {
	a := notify.Alert{Kind: notify.Disk, Level: notify.Red,
		Next: notify.Say("Nothing is lost. Make room on the disk, or have a larger one put in.")}
	full := w.full
	for job, t := range w.jobs { // a holding's file may be too large where there is room for records
		full = full || t.Cause == causeFull && !strings.HasPrefix(job, string(schedule.Holding)+" ")
	}
	switch {
	case full:
		a.Text = notify.Say("The disk is full. Nothing new is copied until there is room.")
		list = append(list, a)
	case w.days >= 0 && w.days < 60:
		if w.days >= 14 {
			a.Level = notify.Warning
		}
		a.Text = notify.Say("The disk of the office copy will be full in about %s.", notify.Several(w.days, "day", "days"))
		list = append(list, a)
	}
	if slices.Contains(w.found, store.ProblemReserve) {
		list = append(list, notify.Alert{Kind: notify.Disk, Source: "reserve", Level: notify.Warning,
			Text: notify.Say("The reserve file for a full disk could not be written."),
			Next: notify.Say("Nothing is lost. See that the disk has room and can be written.")})
	}
	return list
}

// How far the clock may be off (P8): from here on it is said.
const (
	clockSlack = 10 * time.Minute // set back by that much without a word
	skewSlack  = time.Minute
)

// clocks says what is wrong with this computer's clock.
func (w watch) clocks() (list []notify.Alert) {
	if back := w.clock.Sub(w.in.Now); back > clockSlack {
		list = append(list, notify.Alert{Kind: notify.ClockBack, Level: notify.Warning,
			Text: notify.Say("This computer's clock was set back by %s: it has shown %s already.", notify.For(back), w.at(w.clock)),
			Next: notify.Say("No record is lost, but runs may come at the wrong time. See that date and time are right, and that the computer sets its clock by itself.")})
	}
	worst := time.Duration(0)
	for _, s := range w.skews {
		if s.Abs() > worst.Abs() {
			worst = s
		}
	}
	if worst.Abs() > skewSlack {
		list = append(list, notify.Alert{Kind: notify.LowTrust, Level: notify.Warning,
			Text: notify.Say("This computer's clock and the EMR's differ by %s; the times in reports are not to be trusted.", notify.For(worst.Abs())),
			Next: notify.Say("No record is lost. Set the clock, and let the computer set it by itself. From four minutes on, an EMR may refuse the sign-in.")})
	}
	return list
}

// patienceWithSheet is for how long a downtime sheet may be late before it is told: a run
// may hold it up, and a doctor who comes back from a visit signs in.
const patienceWithSheet = 30 * time.Minute

// downtime says that the evening's sheet is missing. Why a try failed is said by others.
func (w watch) downtime() []notify.Alert {
	_, failed := w.jobs[string(schedule.Downtime)]
	if w.sheet.IsZero() || failed || w.in.Now.Sub(w.sheet) < patienceWithSheet || w.in.PausedUntil.After(w.in.Now) {
		return nil
	}
	a := notify.Alert{Kind: notify.Sheet, Level: notify.Warning,
		Text: notify.Say("The downtime sheet that was due on %s is not made yet.", w.at(w.sheet)),
		Next: notify.Say("Nothing is lost, and the sheet of before is kept. A long run can hold it up; if it stays so, run: chartcellar downtime make")}
	if w.locked {
		a.Text = notify.Say("The downtime sheet that was due on %s is not made: nobody who may see charts has been signed in since.", w.at(w.sheet))
		a.Next = notify.Say("Nothing is lost, copying goes on, and the sheet of before is kept. Sign in on the office computer’s pages: the sheet is then made by itself within a minute.")
	}
	return []notify.Alert{a}
}

// others says which jobs of the mirror itself fail, and whether the settings are good.
func (w watch) others() (list []notify.Alert) {
	for _, kind := range []schedule.Kind{schedule.Verify, schedule.Compare, schedule.Pack, schedule.Downtime} {
		t, ok := w.jobs[string(kind)]
		if !ok || t.Cause == causeFull {
			continue
		}
		next := notify.Say("Nothing is lost, and copying goes on. Run: chartcellar verify. It says what is wrong.")
		if kind == schedule.Downtime {
			next = notify.Say("Nothing is lost, and copying goes on. Run: chartcellar downtime make. It says what is wrong.")
		}
		list = append(list, notify.Alert{Kind: notify.Failed, Source: string(kind), Level: notify.Warning,
			Text: notify.Say("The job “%s” of the office copy fails, since %s.", notify.Name(string(kind)), w.at(t.Since)), Next: next})
	}
	if w.refused {
		list = append(list, notify.Alert{Kind: notify.Failed, Source: "settings", Level: notify.Warning,
			Text: notify.Say("The settings file was changed to something that cannot be used. The settings of before stay in force."),
			Next: notify.Say("Nothing is lost, and copying goes on. Correct the file before the computer is started again: chartcellar config check")})
	}
	return list
}

// ways says which ways of alerts do not work, besides those that the Center sees
// itself.
func (w watch) ways() (list []notify.Alert) {
	add := func(source string, text, next notify.Text) {
		list = append(list, notify.Alert{Kind: notify.ChannelDown, Source: source, Level: notify.Warning, Text: text, Next: next})
	}
	if !w.pingDown.IsZero() {
		add("ping", notify.Say("The ping that tells of each good run does not arrive, since %s.", w.at(w.pingDown)),
			notify.Say("The copy is not touched by this. Look at the address: chartcellar alerts"))
	}
	if !w.fileDown.IsZero() {
		add("status file", notify.Say("The status file cannot be written, since %s.", w.at(w.fileDown)),
			notify.Say("The copy is not touched by this. Whatever reads that file has old news. See: chartcellar alerts"))
	}
	if w.unusable > 0 {
		add("settings", notify.Say("%s of the alerts cannot be used.", notify.Several(w.unusable, "setting", "settings")),
			notify.Say("The copy is not touched by this. Which, and why: chartcellar alerts"))
	}
	return list
}

func folderGone() notify.Alert {
	return notify.Alert{Kind: notify.FolderGone, Level: notify.Red,
		Text: notify.Say("The folder of the office copy is not there. Nothing is copied."),
		Next: notify.Say("If it is on a disk that was unplugged, the records are on that disk: plug it in. If nobody moved it, delete nothing and call whoever looks after the computer.")}
}

// endAlert says why the program that copies by itself could not start, or has ended;
// false if there is nothing to tell.
func endAlert(err error) (notify.Alert, bool) {
	a := notify.Alert{Kind: notify.Damage, Level: notify.Red,
		Next: notify.Say("Delete nothing: the archive is not touched. Call whoever looks after the computer; chartcellar status says what to do.")}
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, store.ErrBusy):
		return a, false
	case errors.Is(err, store.ErrNoMirror):
		return folderGone(), true
	case errors.Is(err, store.ErrRolledBack):
		a.Kind = notify.OlderMirror
		a.Text = notify.Say("The folder of the office copy is an older one than this computer has seen. Nothing is copied into it.")
		a.Next = notify.Say("Newer records may be missing in it; they are where the newer folder is. Find that one and put it back. Do not go on with this one unless you know why it is older.")
	case errors.Is(err, keys.ErrForged):
		a.Text = notify.Say("The file that says whose office copy this is was exchanged. Nothing is copied.")
	case errors.Is(err, store.ErrNeedsUnlock):
		a.Text = notify.Say("The index of the office copy is bad. Nothing is copied until it is made anew.")
		a.Next = notify.Say("No record is lost: the archive holds them all. Run, with your passphrase: chartcellar index rebuild")
	case errors.Is(err, store.ErrDamaged), errors.Is(err, index.ErrBad):
		a.Text = notify.Say("Files of the office copy are not what was written. Nothing is copied.")
	case errors.Is(err, store.ErrFull):
		a.Kind, a.Text = notify.Disk, notify.Say("The disk is full. Nothing new is copied until there is room.")
		a.Next = notify.Say("Nothing is lost. Make room on the disk, then run: chartcellar serve")
	case errors.Is(err, fs.ErrPermission):
		a.Kind, a.Text = notify.Failed, notify.Say("chartcellar may not read or write its files. Nothing is copied.")
		a.Next = notify.Say("Nothing is lost. Somebody changed who may read the folder; chartcellar must run as the user who made it.")
	default:
		a.Kind, a.Text = notify.Failed, notify.Say("chartcellar could not go on and has ended. Nothing is copied.")
		a.Next = notify.Say("Nothing that was copied is lost. Run: chartcellar serve. It says what is wrong.")
	}
	return a, true
}

// settingWords name settings as people know them.
var settingWords = map[string]notify.Sentence{
	"practice": "the practice's name", "data": "the folder of the copy", "box_key": "the box key", "key_file": "the key file",
	"zone": "the time zone", "name_in_title": "whether page titles name patients", "verify": "when the copy is verified", "downtime": "when the downtime sheet is made", "listen": "where the pages are", "log": "the log",
	"reserve_mb": "the reserve for a full disk", "tls_cert": "the certificate of the pages", "tls_key": "the key of the pages' certificate",
	"alerts mail_to": "who gets alerts by mail", "alerts mail_from": "the sender of alerts", "alerts smtp": "the mail server",
	"alerts smtp_user": "the user at the mail server", "alerts smtp_plain": "whether alerts are mailed unencrypted", "alerts command": "the alert command", "alerts ping": "the ping",
	"alerts status_file": "the status file", "alerts gap_days": "when a gap is told",
}

// settingFact names one setting.
func settingFact(key string) notify.Text {
	if words, ok := settingWords[key]; ok {
		return notify.Say(words)
	}
	if name, ok := strings.CutPrefix(key, "holding "); ok {
		name, _, _ = strings.Cut(name, " ")
		return notify.Say("the folder of the holding %s", notify.Name(name))
	}
	if name, ok := strings.CutPrefix(key, "copy "); ok {
		name, _, _ = strings.Cut(name, " ")
		return notify.Say("the second copy %s", notify.Name(name))
	}
	rest, ok := strings.CutPrefix(key, "source ")
	name, field, _ := strings.Cut(rest, " ")
	switch {
	case !ok:
		return notify.Say("%s", notify.Name(key))
	case field == "":
		return notify.Say("the EMR %s", notify.Name(name))
	case field == "pull" || field == "full":
		return notify.Say("when %s is copied", notify.Name(name))
	}
	return notify.Say("%s of the EMR %s", notify.Name(field), notify.Name(name))
}
