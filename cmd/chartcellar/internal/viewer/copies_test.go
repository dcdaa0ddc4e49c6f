package viewer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"chartcellar/cmd/chartcellar/internal/health"
	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/store/access"
)

func TestCopyForms(t *testing.T) {
	const key = "1. AGE-S [AB] GOOD"
	tests := []struct {
		name, path, form string
		role             access.Role
		status           int
		did, says        string
	}{
		{"copy now", "/backups/copies", "name=usb&do=now", access.IT, 303, "now the it usb", "done=now"},
		{"check now", "/backups/copies", "name=usb&do=check", access.Manager, 303, "check the manager usb", "done=check"},
		{"test", "/backups/copies", "name=usb&do=test", access.Doctor, 303, "test the doctor usb", "done=tested"},
		{"something else", "/backups/copies", "name=usb&do=delete", access.Owner, 400, "", "could not be read"},
		{"no copy of that name", "/backups/copies", "do=now", access.Owner, 422, "", "no second copy of that name"},
		{"staff starts nothing", "/backups/copies", "name=usb&do=now", access.Staff, 403, "", "may not open"},
		{"safe to remove", "/backups/copies/out", "name=usb", access.Owner, 200, "", "it can be taken out now"},
		{"answers", "/backups/copies/answers", "name=cloud&ours=practice&deletes=nobody&agreement=2026-03-01", access.Manager, 303, "answer the manager cloud practice/nobody/2026-03-01", "done=answers"},
		{"whose it is", "/backups/copies/answers", "name=cloud&ours=other&whose=Billing+Co", access.Owner, 303, "answer owner cloud Billing Co//", "done=answers"},
		{"no answer", "/backups/copies/answers", "name=cloud", access.Owner, 422, "", "No question was answered"},
		{"IT does not answer", "/backups/copies/answers", "name=cloud&ours=practice", access.IT, 403, "", "may not open"},
		{"a folder", "/backups/copies/new", "kind=folder&name=disk&folder=/media/disk&disks=2", access.Owner, 303, "add owner disk /media/disk", "done=place"},
		{"a folder that is not there", "/backups/copies/new", "kind=folder&name=disk&folder=/nowhere&disks=1", access.Owner, 422, "", `value="/nowhere"`},
		{"no folder", "/backups/copies/new", "kind=folder&name=disk&disks=1", access.Owner, 422, "", "whole path"},
		{"no kind", "/backups/copies/new", "name=disk", access.Owner, 400, "", "could not be read"},
		{"a server is asked first", "/backups/copies/new", "kind=sftp&name=nas&sftp=a@b/c", access.Owner, 200, "", "SHA256:AbCd"},
		{"not compared", "/backups/copies/new", "kind=sftp&name=nas&sftp=a@b/c&hostkey=SHA256:x", access.Owner, 422, "", "tick that it is the same"},
		{"compared", "/backups/copies/new", "kind=sftp&name=nas&sftp=a@b/c&hostkey=SHA256:x&same=yes", access.Owner, 303, "add owner nas a@b/c", "done=place"},
		{"a wrong password", "/backups/copies/new", "kind=sftp&name=nas&sftp=a@b/c&hostkey=SHA256:x&same=yes&secret=wrong", access.Owner, 422, "", "SHA256:AbCd"},
		{"a bucket", "/backups/copies/new", "kind=s3&name=b&s3=https://h/b&access=k&secret=s", access.IT, 303, "add the it b https://h/b", "done=place"},
		{"a bucket without a key", "/backups/copies/new", "kind=s3&name=b&s3=https://h/b&access=k", access.Owner, 422, "", "secret key"},
		{"a drill", "/backups/drill", "name=usb&sheet=" + url.QueryEscape(key), access.Owner, 303, "drill Dr. Maria Reyes (owner) usb", "done=drill"},
		{"a wrong line", "/backups/drill", "name=cloud&sheet=1.+AGE-S+[AB]+SECRETLINE", access.Doctor, 422, "", "Line 2 of the recovery key"},
		{"a manager makes no drill", "/backups/drill", "name=usb&sheet=" + url.QueryEscape(key), access.Manager, 403, "", "may not open"},
		{"IT makes no drill", "/backups/drill", "name=usb&sheet=" + url.QueryEscape(key), access.IT, 403, "", "may not open"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := practice()
			o := newOffice(t, d)
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			res := o.ask(ask{method: http.MethodPost, path: tt.path, token: o.settle()[tt.role], form: form})
			text := body(t, res) + res.Header.Get("Location")
			if res.StatusCode != tt.status || strings.Join(d.did, "; ") != tt.did || !strings.Contains(text, tt.says) {
				t.Errorf("got %d, did %q, want %d %q %q\n%s", res.StatusCode, d.did, tt.status, tt.did, tt.says, text)
			}
			for _, secret := range []string{"SECRETLINE", `value="wrong"`, "GOOD"} {
				if strings.Contains(text, secret) {
					t.Errorf("the page sends back %q", secret)
				}
			}
		})
	}
}

// TestDrillWithScript: a wrong line is told without the page, so that what was typed
// stays in the browser; a good key leads to the page.
func TestDrillWithScript(t *testing.T) {
	o := newOffice(t, practice())
	token := o.settle()[access.Owner]
	part := func(r *http.Request) { r.Header.Set("HX-Request", "true") }
	res := o.ask(ask{method: http.MethodPost, path: "/backups/drill", token: token, form: url.Values{"name": {"usb"}, "sheet": {"x"}}, change: part})
	if text := body(t, res); res.StatusCode != http.StatusOK || !strings.Contains(text, "Line 2") || strings.Contains(text, "<html") {
		t.Errorf("a wrong line: %d\n%s", res.StatusCode, text)
	}
	res = o.ask(ask{method: http.MethodPost, path: "/backups/drill", token: token, form: url.Values{"name": {"usb"}, "sheet": {"GOOD"}}, change: part})
	if res.Header.Get("HX-Redirect") != "/backups/drill?done=drill" {
		t.Errorf("a good key: %d %v", res.StatusCode, res.Header)
	}
}

// TestCopyPagesSay: how each copy stands is said in words, each role sees what it may
// do, and what is overdue or damaged is said where a doctor looks.
func TestCopyPagesSay(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	tokens := o.settle()
	for _, tt := range []struct {
		path  string
		role  access.Role
		wants []string
		lacks []string
	}{
		{"/backups/copies", access.Manager, []string{"up to date", "1,840 of 1,840", "2 take turns", "a91f3c", "It could be removed", "does not protect you yet", "not in this copy by choice: they go to nas and usb only",
			"cannot be reached", "of 2026-03-01", "not answered", "1 file is", "Copy now", "Safe to remove?", "Keep the answers", "every day at 05:00"}, []string{"an owner or a manager answers"}},
		{"/backups/copies", access.IT, []string{"Copy now", "An owner or a manager answers this"}, []string{"Keep the answers"}},
		{"/backups/drill", access.Owner, []string{"overdue", "Dr. Maria Reyes (reyes)", "2 of 2", "1.4 GB", "Start the drill", "97 days ago", `<option value="cloud"`, `autocomplete="off"`}, nil},
		{"/backups/drill", access.IT, []string{"An owner or a doctor makes it"}, []string{"Start the drill", "<textarea"}},
		{"/backups/runs/390", access.Manager, []string{"passed", "Signed off", "Signature", "Dr. Maria Reyes (reyes)", "48210 records"}, []string{"By type of record", "No gap is open"}},
		{"/backups", access.Owner, []string{"1 file is", "They belong to 2 patients", "on 3 November 2026", "chartcellar repair", "was lost on 26 Oct 2026", "A restore was tried within 90 days: <strong>overdue",
			"The second copy is current", "keeps the copy since", "chartcellar connect renew main"}, nil},
		{"/", access.Staff, []string{"overdue", "keeps the copy since", "Sign in again"}, nil},
		{"/", access.Owner, []string{`href="/backups/copies"`, `href="/backups/drill"`}, nil},
	} {
		text := o.page(tt.path, tokens[tt.role])
		for _, w := range tt.wants {
			if !strings.Contains(text, w) {
				t.Errorf("GET %s as %s does not say %q", tt.path, tt.role, w)
			}
		}
		for _, w := range tt.lacks {
			if strings.Contains(text, w) {
				t.Errorf("GET %s as %s says %q", tt.path, tt.role, w)
			}
		}
	}
	if pdf := o.page("/backups/runs/390/report.pdf", tokens[access.Owner]); !strings.HasPrefix(pdf, "%PDF-") {
		t.Errorf("the report of a drill: %.20q", pdf)
	}
}

// TestHoldingFiles: names of files and files themselves are for those who may see what is
// sensitive, saving needs the password once more, and both are said to the Backend.
func TestHoldingFiles(t *testing.T) {
	d := practice()
	o := newOffice(t, d)
	tokens := o.settle()
	for _, role := range []access.Role{access.Manager, access.IT} {
		text := o.page("/backups/holdings", tokens[role])
		if !strings.Contains(text, "Nothing new has come for the holding ehi for 40 days") || !strings.Contains(text, "we cannot see inside") || strings.Contains(text, "Find files") {
			t.Errorf("the list as %s", role)
		}
		for _, p := range []string{"/backups/holdings", "/backups/holdings/file"} {
			if res := o.ask(ask{method: http.MethodPost, path: p, token: tokens[role], form: url.Values{"name": {"ehi"}, "path": {"export.zip"}}}); res.StatusCode != http.StatusForbidden {
				t.Errorf("POST %s as %s: %d", p, role, res.StatusCode)
			}
		}
	}
	doctor := tokens[access.Doctor]
	text := body(t, o.ask(ask{method: http.MethodPost, path: "/backups/holdings", token: doctor, form: url.Values{"name": {"ehi"}, "search": {"csv"}}}))
	if !strings.Contains(text, "2 of 2") || !strings.Contains(text, "patients/7/ZZEXAMPLE.csv") || !strings.Contains(text, `value="csv"`) {
		t.Errorf("the search:\n%s", text)
	}
	save := ask{method: http.MethodPost, path: "/backups/holdings/file", token: doctor, form: url.Values{"name": {"ehi"}, "path": {"a/scan 1.pdf"}}}
	res := o.ask(save)
	if got := body(t, res); got != "as it came" || !strings.Contains(res.Header.Get("Content-Disposition"), `filename="scan 1.pdf"`) || res.Header.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("the file: %q %v", got, res.Header)
	}
	o.pass(6 * time.Minute)
	if res := o.ask(save); !strings.HasPrefix(res.Header.Get("Location"), "/confirm?next=%2Fbackups%2Fholdings") {
		t.Errorf("saved without the password once more: %d %v", res.StatusCode, res.Header)
	}
	if got := strings.Join(d.did, "; "); got != "look the doctor ehi csv; save the doctor ehi a/scan 1.pdf" {
		t.Errorf("did %s", got)
	}
}

// TestNoCopies: without a second copy the page says what is at risk and how to get one.
func TestNoCopies(t *testing.T) {
	d := practice()
	d.copies, d.drills, d.damage, d.restored = nil, viewer.Drills{State: health.Check{Answer: health.NotSetUp}}, viewer.Damage{}, viewer.Restored{}
	o := newOffice(t, d)
	tokens := o.settle()
	if text := o.page("/backups/copies", tokens[access.Owner]); !strings.Contains(text, "There is no second copy") || !strings.Contains(text, "burns") || !strings.Contains(text, `href="/backups/copies/new"`) {
		t.Error("the page of no copies")
	}
	if text := o.page("/backups/drill", tokens[access.Owner]); !strings.Contains(text, "Nobody has tried") || strings.Contains(text, "<textarea") || !strings.Contains(text, `href="/backups/copies"`) {
		t.Error("the page of no drills")
	}
	if text := o.page("/backups", tokens[access.Owner]); strings.Contains(text, "Damage in") || strings.Contains(text, "declared lost") || strings.Contains(text, "keeps the copy since") {
		t.Error("Backups tells of damage or of a restore")
	}
	looking := newOffice(t, practice(), func(op *viewer.Options) { op.ReadOnly = true })
	token := looking.settle()[access.Owner]
	for _, p := range []string{"/backups/copies", "/backups/drill"} {
		if text := looking.page(p, token); strings.Contains(text, "<button name") || strings.Contains(text, "Start the drill") {
			t.Errorf("GET %s of a copy that is only looked at offers to change something", p)
		}
	}
}
