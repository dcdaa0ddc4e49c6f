package viewer_test

import (
	"context"
	"io"
	"strings"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
)

func (d *double) Restored(context.Context) (viewer.Restored, error) { return d.restored, d.broken }
func (d *double) Damage(context.Context) (viewer.Damage, error)     { return d.damage, d.broken }
func (d *double) SecondCopies(context.Context) ([]viewer.SecondCopy, error) {
	return d.copies, d.broken
}
func (d *double) Drills(context.Context) (viewer.Drills, error) { return d.drills, d.broken }
func (d *double) AddCopy(_ context.Context, a viewer.Actor, n viewer.NewCopy) (viewer.Greeting, error) {
	switch {
	case n.Folder == "/nowhere":
		return viewer.Greeting{}, &viewer.Refusal{Words: "The place of the second copy cannot be reached: the disk is not plugged in. Nothing was set up."}
	case n.SFTP != "" && n.HostKey == "":
		return viewer.Greeting{Fingerprint: "SHA256:AbCdEfGhIjKlMnOpQrStUvWxYz0123456789AbCdEfG", KeyLine: "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIExampleExampleExampleExampleExampleExam chartcellar-" + n.Name}, d.broken
	case n.Secret == "wrong":
		return viewer.Greeting{}, &viewer.Refusal{Words: "The place refuses the sign-in. Nothing was set up."}
	}
	return viewer.Greeting{}, d.do("add %s %s %s%s%s", a.Account, n.Name, n.Folder, n.SFTP, n.S3)
}
func (d *double) AnswerForCopy(_ context.Context, a viewer.Actor, name string, w viewer.Answers) error {
	if w == (viewer.Answers{}) {
		return &viewer.Refusal{Words: "No question was answered. Nothing was changed."}
	}
	return d.do("answer %s %s %s/%s/%s", a.Account, name, w.Ours, w.Deletes, w.Agreement)
}
func (d *double) StartCopy(_ context.Context, a viewer.Actor, name string, what viewer.CopyWork) error {
	if name == "" {
		return &viewer.Refusal{Words: "There is no second copy of that name."}
	}
	return d.do("%s %s %s", what, a.Account, name)
}
func (d *double) CopyOut(_ context.Context, name string) ([]string, error) {
	if name == "" {
		return nil, &viewer.Refusal{Words: "There is no second copy of that name."}
	}
	return []string{"Every file that was written has been synced to the disk: it can be taken out now.", "It holds everything that the office copy holds now."}, d.broken
}
func (d *double) StartDrill(_ context.Context, a viewer.Actor, name, sheet string) error {
	if !strings.Contains(sheet, "GOOD") {
		return &viewer.Refusal{Words: "Line 2 of the recovery key does not match its check letters. Nothing was started."}
	}
	return d.do("drill %s (%s) %s", a.Display, a.Account, name)
}

func (d *double) Holdings(context.Context) ([]viewer.Holding, error) { return d.holdings, d.broken }
func (d *double) HoldingFiles(_ context.Context, a viewer.Actor, name, search string) (viewer.HoldingFiles, error) {
	if name == "" {
		return viewer.HoldingFiles{}, viewer.ErrNotFound
	}
	return d.found, d.do("look %s %s %s", a.Account, name, search)
}
func (d *double) HoldingFile(_ context.Context, a viewer.Actor, name, path string) (viewer.HoldingFile, error) {
	if path == "" {
		return viewer.HoldingFile{}, &viewer.Refusal{Words: "The holding has no such file. Nothing was saved."}
	}
	return viewer.HoldingFile{ReadCloser: io.NopCloser(strings.NewReader("as it came")), Bytes: 10}, d.do("save %s %s %s", a.Account, name, path)
}

// keepsCopies gives a practice three second copies, of which one is a disk that should
// be changed and one is not surely its own, and a drill that is overdue.
func (d *double) keepsCopies() {
	night := now.Add(-14 * time.Hour)
	d.copies = []viewer.SecondCopy{
		{Name: "usb", Kind: "folder", Where: "/media/usb", State: health.Check{Answer: health.Yes, At: night}, Complete: night, Tried: night, There: 1840, Files: 1840, Run: 412,
			Next: now.Add(10 * time.Hour), Times: "every day at 05:00", Disks: 2, Disk: "a91f3c", DiskSince: now.AddDate(0, 0, -3), Own: true,
			Tested: now.AddDate(0, 0, -80), Weak: true, TestWords: "It could be removed: whoever controls this computer can erase a disk that is plugged in. Let two disks take turns, so that one is always somewhere else.",
			Checked: night.Add(90 * time.Minute), CheckRun: 412, CheckGood: true, CheckWords: "1840 of 1840 files are there; 61 were read and are what was written."},
		{Name: "cloud", Kind: "s3", Where: "https://s3.example/elm-street", State: health.Check{Answer: health.No, At: now.AddDate(0, 0, -12), Words: "The second copy cloud is not surely the practice's own: who else can delete what lies there was not answered."},
			Complete: now.AddDate(0, 0, -12), Tried: night, Trouble: "The place of the second copy cannot be reached: the disk is not plugged in, or the server does not answer.", There: -1, Run: 411,
			Next: now.Add(20 * time.Minute), Times: "every day at 05:00", Disks: 1, Answers: viewer.Answers{Ours: "practice", Agreement: "2026-03-01"},
			Tested: now.AddDate(0, 0, -80), TestWords: "It could not be overwritten or removed with this computer's own sign-in: good.",
			Checked: now.AddDate(0, 0, -12), CheckRun: 400, CheckWords: "1700 of 1702 files are there; 60 were read and are what was written.", Wrong: []string{"parts/000000/000000000031.ndjson.zst.age: another size"}, AllWrong: 1,
			Apart: []string{"2 large files of the holding dumps (50120 MB) are not in this copy by choice: they go to nas and usb only."}},
	}
	d.drills = viewer.Drills{State: health.Check{Answer: health.Stale, At: now.AddDate(0, 0, -97)}, Due: now.AddDate(0, 0, -7), All: 2, Copies: []string{"usb", "cloud"}, Needs: 1_420_000_000, Free: 398e9,
		List: []viewer.DrillLine{{Run: 390, At: now.AddDate(0, 0, -97), Copy: "usb", Person: "Dr. Maria Reyes (reyes)", Passed: true, Took: 212 * time.Second},
			{Run: 380, At: now.AddDate(0, 0, -130), Copy: "cloud", Person: "Dr. Maria Reyes (reyes)", Took: 340 * time.Second}}}
	d.reports[390] = viewer.RunReport{RunLine: viewer.RunLine{Number: 390, Source: "usb", Kind: "drill", Verdict: "passed", Started: now.AddDate(0, 0, -97), Ended: now.AddDate(0, 0, -97).Add(212 * time.Second)},
		Practice: "Elm Street Family Medicine", Person: "Dr. Maria Reyes (reyes)", Waited: -1, Notes: []string{"PASSED. The second copy usb came back with the key of the sheet alone.",
			"1840 files, 1354 MB, were restored; 48210 records were decrypted and checked.", "20 random patients were compared, 812 records: 0 are not the same, 0 are in one of the two only."}}
	d.damage = viewer.Damage{Found: night, Run: 411, Files: []string{"parts/000000/000000000007.ndjson.zst.age: damaged"}, All: 1, Harm: "Concerned: 3 states of records (2 Observation, 1 Patient), 1 of them the newest one. They belong to 2 patients. They were fetched from the EMR on 3 November 2026.",
		Lost: []viewer.Loss{{File: "attachments/ab/abcdef.age", At: now.AddDate(0, 0, -30), Run: 402}}, AllLost: 1}
	d.holdings = []viewer.Holding{{Name: "ehi", Folder: "/srv/exports", Expected: "monthly", Covers: []string{"billing", "messages"}, Files: 3, Bytes: 4_100_000_000, Newest: now.AddDate(0, 0, -40), NewestBytes: 1_300_000_000,
		Wrong: []string{"Nothing new has come for the holding ehi for 40 days; something is expected monthly."}}}
	d.found = viewer.HoldingFiles{All: 2, List: []viewer.HoldingRow{{Path: "export.zip", Bytes: 1_300_000_000, Kept: now.AddDate(0, 0, -40)}, {Path: "export.zip/patients/7/ZZEXAMPLE.csv", Bytes: 812, Kept: now.AddDate(0, 0, -40)}}}
	d.restored = viewer.Restored{Since: now.AddDate(0, -2, 0), SignIn: []viewer.SignInAgain{{Source: "main", Command: "chartcellar connect renew main"}}}
}
