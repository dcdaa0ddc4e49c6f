package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync/schedule"
	"chartcellar/store/keys"
	"chartcellar/store/offsite"
)

var _ viewer.SecondCopies = (*office)(nil)

// shownWrong is how many files a page names.
const shownWrong = 20

// SecondCopies implements viewer.SecondCopies.
func (o *office) SecondCopies(context.Context) ([]viewer.SecondCopy, error) {
	s, now := o.d.settings(), o.now()
	runs, err := o.m.Runs()
	if err != nil {
		return nil, err
	}
	plans := map[schedule.Job]schedule.Status{}
	if o.d.sched != nil {
		for _, st := range o.d.sched.Status(1) {
			plans[st.Plan.Job] = st
		}
	}
	var list []viewer.SecondCopy
	for i, st := range copyStates(s, o.m, runs) {
		c := s.Copies[i]
		out := shownCopy(c, st)
		out.State = st.check(c, s, now)
		out.State.Words = sentence(withoutCall(out.State.Words))
		out.Stays = c.Disks > 1 && st.trouble(c, s, now) == copyStays
		plan := plans[schedule.Job{Source: c.Name, Kind: schedule.Copy}]
		out.Running = o.d.busyWith(c.Name)
		if len(plan.Next) > 0 {
			out.Next = plan.Next[0]
		}
		if len(plan.Plan.Calendar) > 0 {
			out.Times = plan.Plan.Calendar.Words()
		}
		if f, failed := o.d.failure(schedule.CopyTest, c.Name); failed {
			out.TestTrouble = failureWords(f)
		}
		list = append(list, out)
	}
	return list, nil
}

// withoutCall leaves the command out that a text ends with: on a page there is a button.
func withoutCall(words string) string {
	words, _, _ = strings.Cut(words, ": chartcellar ")
	return words
}

// failureWords say why a job could not be done.
func failureWords(f failedTry) string {
	p := explain(f.err)
	return strings.TrimSpace(p.What + " " + p.Lost + " " + p.Next)
}

// shownCopy is what the records of a copy say.
func shownCopy(c config.Copy, st copyState) viewer.SecondCopy {
	out := viewer.SecondCopy{Name: c.Name, Where: st.Where, Kind: "s3", Complete: st.Complete, Tried: st.Ended, Trouble: st.Last.Error,
		There: st.Last.There, Files: st.Last.Files, Run: st.run, Disks: c.Disks, Disk: shortDisk(st.Last.Disk), DiskSince: st.Since,
		Own: c.Office(), Answers: viewer.Answers{Ours: c.Ours, Deletes: c.Deletes, Agreement: c.Agreement},
		Checked: st.CheckAt, CheckRun: st.checkRun}
	switch {
	case c.Folder != "":
		out.Kind = "folder"
	case c.SFTP != "":
		out.Kind = "sftp"
	}
	for _, a := range st.Last.Apart {
		out.Apart = append(out.Apart, a.Words())
	}
	if st.Last.Files == 0 { // it never came so far
		out.There = -1
	}
	if st.Tested != nil {
		out.Tested, out.Weak = st.TestAt, st.Tested.Weak()
		out.TestWords = strings.ReplaceAll(strings.TrimPrefix(weakWords(*st.Tested, c), "WEAK: "), "\n", " ")
		out.TestWords = sentence(out.TestWords)
	}
	if !st.CheckAt.IsZero() {
		out.CheckGood = st.Checked.verdict() == copyComplete
		out.CheckWords = checkWords(st.Checked)
	}
	rec := st.Last
	if len(rec.Wrong) == 0 && st.CheckAt.After(st.Ended) {
		rec = st.Checked
	}
	for i, w := range rec.Wrong {
		if i < shownWrong {
			out.Wrong = append(out.Wrong, w.File+": "+w.What)
		}
	}
	out.AllWrong = len(rec.Wrong)
	return out
}

// checkWords say what a check came to.
func checkWords(r copyRecord) string {
	if r.Error != "" {
		return r.Error
	}
	text := fmt.Sprintf("%d of %d files are there; %d were read and are what was written.", r.There, r.Files, r.Read)
	if r.NotChecked != "" {
		text += " Not checked: " + r.NotChecked
	}
	return text
}

// shortDisk is what a disk is called on pages.
func shortDisk(id string) string { return id[:min(6, len(id))] }

// copyOf returns the second copy that a page names.
func (o *office) copyOf(name string) (config.Copy, error) {
	s := o.d.settings()
	if name != "" {
		if c, err := s.Copy(name); err == nil {
			return c, nil
		}
	}
	return config.Copy{}, &viewer.Refusal{Words: "There is no second copy of that name. " + nothingLost + " Choose one of the list."}
}

// AddCopy implements viewer.SecondCopies.
func (o *office) AddCopy(ctx context.Context, a viewer.Actor, n viewer.NewCopy) (viewer.Greeting, error) {
	s := o.d.settings()
	if _, err := s.Copy(n.Name); err == nil && n.Name != "" {
		return viewer.Greeting{}, &viewer.Refusal{Words: "There is a second copy of that name already. Nothing was set up. Choose another name."}
	}
	_, c, err := o.e.withCopy(config.Copy{Name: n.Name, Folder: n.Folder, Disks: n.Disks, SFTP: n.SFTP, HostKey: n.HostKey, S3: n.S3,
		Region: n.Region, AccessKey: n.AccessKey, Ours: n.Ours, Deletes: n.Deletes, Agreement: n.Agreement})
	if err != nil {
		return viewer.Greeting{}, notSetUp(err)
	}
	if n.SFTP != "" && n.HostKey == "" {
		return o.greet(ctx, c)
	}
	if n.Secret != "" {
		if err := o.m.PutSecret(copySecretName(c), []byte(n.Secret)); err != nil {
			return viewer.Greeting{}, err
		}
	}
	if _, err := o.e.tryPlace(ctx, o.m, c); err != nil {
		return viewer.Greeting{}, notSetUp(err)
	}
	if err := o.e.keepCopy(o.m, a.Account, c); err != nil {
		return viewer.Greeting{}, notSetUp(err)
	}
	// What the test found is kept by a job, which waits for a run that is under way.
	return viewer.Greeting{}, o.StartCopy(ctx, a, c.Name, viewer.CopyTest)
}

// greet asks a server who it is, and makes the key for it.
func (o *office) greet(ctx context.Context, c config.Copy) (viewer.Greeting, error) {
	line, err := sftpKey(o.m, c)
	if err != nil {
		return viewer.Greeting{}, err
	}
	place, err := sftpOf(c.SFTP)
	if err != nil {
		return viewer.Greeting{}, notSetUp(err)
	}
	found, err := offsite.HostKeyOf(ctx, place.Addr)
	if err != nil {
		return viewer.Greeting{}, notSetUp(err)
	}
	return viewer.Greeting{Fingerprint: found, KeyLine: line}, nil
}

// notSetUp says why a place was not set up.
func notSetUp(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return &viewer.Refusal{Words: "The place did not answer within a minute. Nothing was set up. Look whether the address is right, and try again."}
	}
	p := explain(err)
	if p.Code == exitUsage {
		return &viewer.Refusal{Words: p.What + " Nothing was set up."}
	}
	return &viewer.Refusal{Words: strings.TrimSpace(p.What + " Nothing was set up. " + p.Next)}
}

// AnswerForCopy implements viewer.SecondCopies.
func (o *office) AnswerForCopy(_ context.Context, a viewer.Actor, name string, answers viewer.Answers) error {
	c, err := o.copyOf(name)
	if err != nil {
		return err
	}
	edits := answerEdits(config.Copy{Name: c.Name, Ours: answers.Ours, Deletes: answers.Deletes, Agreement: answers.Agreement})
	if len(edits) == 0 {
		return &viewer.Refusal{Words: "No question was answered. Nothing was changed."}
	}
	return o.change(a, edits...)
}

// StartCopy implements viewer.SecondCopies.
func (o *office) StartCopy(ctx context.Context, a viewer.Actor, name string, what viewer.CopyWork) error {
	c, err := o.copyOf(name)
	if err != nil {
		return err
	}
	switch what {
	case viewer.CopyNow:
		return o.start(ctx, a, "copy.now", schedule.Job{Source: c.Name, Kind: schedule.Copy})
	case viewer.CopyCheck:
		return o.start(ctx, a, "copy.check", schedule.Job{Source: c.Name, Kind: schedule.CopyCheck})
	}
	return o.start(ctx, a, "copy.test", schedule.Job{Source: c.Name, Kind: schedule.CopyTest})
}

// CopyOut implements viewer.SecondCopies.
func (o *office) CopyOut(ctx context.Context, name string) ([]string, error) {
	c, err := o.copyOf(name)
	if err != nil {
		return nil, err
	}
	words, err := o.e.outWords(ctx, o.m, c)
	if err != nil {
		p := explain(err)
		return nil, &viewer.Refusal{Words: strings.TrimSpace(withoutCall(p.What) + " " + withoutCall(p.Lost) + " " + withoutCall(p.Next))}
	}
	for i := range words {
		words[i] = sentence(withoutCall(words[i]))
	}
	return words, nil
}

// Drills implements viewer.SecondCopies.
func (o *office) Drills(context.Context) (viewer.Drills, error) {
	out := viewer.Drills{}
	runs, err := o.m.Runs()
	if err != nil {
		return out, err
	}
	out.State = drilled(runs, o.now())
	out.State.Words = withoutCall(out.State.Words)
	for _, r := range runs {
		if r.Kind != drillRun || r.Ended.IsZero() {
			continue
		}
		if out.All++; len(out.List) < 10 {
			rec := recordOfDrill(o.m, r)
			out.List = append(out.List, viewer.DrillLine{Run: r.Number, At: r.Ended, Copy: r.Source, Person: rec.Person, Passed: r.Verdict == drillPassed, Took: rec.Took})
		}
	}
	if len(out.List) > 0 {
		out.Due = out.List[0].At.Add(drillLife)
	}
	latest := time.Time{}
	for _, c := range o.d.settings().Copies {
		out.Copies = append(out.Copies, c.Name)
		if f, failed := o.d.failure(schedule.Drill, c.Name); failed && f.at.After(latest) {
			latest, out.FailedAt, out.Failed = f.at, f.at, failureWords(f)
		}
	}
	for _, p := range o.m.PartSizes() {
		out.Needs += p.Bytes
	}
	free, reserve, err := o.m.Space()
	out.Free = max(0, free-reserve)
	return out, err
}

// StartDrill implements viewer.SecondCopies. The key is looked at first: a wrong letter
// is told at once, with its line.
func (o *office) StartDrill(ctx context.Context, a viewer.Actor, name, sheet string) error {
	c, err := o.copyOf(name)
	if err != nil {
		return err
	}
	const again = " Nothing was started, and nothing is lost."
	key, err := keys.ParseSheet(sheetKey(sheet))
	if err != nil {
		return &viewer.Refusal{Words: sentence(err.Error()) + again + " Compare it with the sheet, letter by letter."}
	}
	if err := o.isRecovery(sheet); err != nil {
		return &viewer.Refusal{Words: "This is the key of another office copy." + again + " Take the sheet that was printed for this one."}
	}
	person := a.Display
	if person != a.Account {
		person = strings.TrimSpace(person + " (" + a.Account + ")")
	}
	o.d.order(c.Name, drillOrder{paper{key, sheet}, person, a.Account})
	if err := o.start(ctx, a, "drill.begin", schedule.Job{Source: c.Name, Kind: schedule.Drill}); err != nil {
		o.d.ordered(c.Name)
		return err
	}
	return nil
}
