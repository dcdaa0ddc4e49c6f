package main

import (
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/notify"
)

// watchCopies gathers what is wrong with the second copies.
func (a *alarm) watchCopies(w *watch, now time.Time) error {
	s := a.settings()
	if len(s.Copies) == 0 {
		return nil
	}
	runs, err := a.m.Runs()
	if err != nil {
		return err
	}
	w.copies, w.wrong = copyStates(s, a.m, runs), map[string]copyTrouble{}
	for i, st := range w.copies {
		w.wrong[st.Name] = st.trouble(s.Copies[i], s, now)
	}
	return nil
}

// copyAlerts are the words for what is wrong with a second copy. One that was never
// tried or is not the practice's own is on the pages only: somebody is setting it up.
var copyAlerts = map[copyTrouble]struct {
	level      notify.Level
	text, next notify.Sentence
}{
	copyWrong: {notify.Red, "Files of the second copy %s are not what was written there.",
		"The office copy is not touched by this. Which files: chartcellar copy verify, with --all. Keep that copy as it is, and make another at another place."},
	copyFenced: {notify.Red, "Another computer has taken over from this one: nothing goes to the second copy %s from here any more.",
		"If that was you, take this computer out of use. If it was not, somebody has the recovery sheet: call whoever looks after your computers now."},
	copyRefused: {notify.Warning, "The second copy %s cannot be made: the place refuses it, is full, or holds something else.",
		"Nothing is lost: the office copy is unchanged. Why: chartcellar copy list"},
	copyLate: {notify.Warning, "The second copy %s is older than it should be by its times.",
		"Nothing is lost: the office copy is unchanged. Plug the disk in, or see that the place can be reached; then run: chartcellar copy now"},
	copyStays: {notify.Warning, "The same disk has been plugged in for more than 7 days as the second copy %s.",
		"Put the other disk in, and take this one to another place: fire and thieves take both that are in one room. First run: chartcellar copy safe-to-remove"},
}

// secondCopies says what is wrong with them.
func (w watch) secondCopies() (list []notify.Alert) {
	for _, c := range w.copies {
		words, ok := copyAlerts[w.wrong[c.Name]]
		if !ok {
			continue
		}
		list = append(list, notify.Alert{Kind: notify.SecondCopy, Source: c.Name, Level: words.level,
			Text: notify.Say(words.text, notify.Name(c.Name)), Next: notify.Say(words.next)})
	}
	return list
}

// drill says that a restore was not tried for too long, or did not pass.
func (w watch) drill() []notify.Alert {
	c := w.in.Facts[health.Drill]
	a := notify.Alert{Kind: notify.Drill, Level: notify.Warning,
		Next: notify.Say("Nothing is lost. Take the recovery sheet out of the safe and run: chartcellar drill")}
	switch {
	case c.Answer == health.Stale:
		a.Text = notify.Say("The last restore drill was on %s; after 90 days nobody knows whether the second copy and the sheet still work.", w.at(c.At))
	case c.Answer == health.No:
		a.Level = notify.Red
		a.Text = notify.Say("The restore drill on %s did not pass.", w.at(c.At))
		a.Next = notify.Say("The office copy itself is unchanged. Which files, and why: chartcellar runs show. Make another second copy at another place.")
	default:
		return nil
	}
	return []notify.Alert{a}
}
