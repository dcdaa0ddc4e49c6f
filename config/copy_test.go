package config_test

import (
	"slices"
	"strings"
	"testing"

	"chartcellar/config"
)

const office = `data = "/srv/m"
box_key = "/etc/box.key"
`

// TestCopyBlock: what is written of a second copy is read as the same.
func TestCopyBlock(t *testing.T) {
	for _, c := range []config.Copy{
		{Name: "usb", Folder: "/media/usb", Disks: 2},
		{Name: "away", SFTP: "office@backup.example:22/copies", HostKey: "SHA256:abc", Hours: "20:00-07:00", RateMbit: 20, Ours: "practice", Deletes: "nobody", Agreement: "2026-03-01"},
		{Name: "cloud", S3: "https://s3.example/bucket/office", Region: "eu", AccessKey: "AK", LockDays: 400, At: "off", Check: "Sun 03:00"},
	} {
		s, err := config.Parse(append([]byte(office), config.CopyBlock(c)...))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		got, err := s.Copy("")
		again, err2 := config.Parse(append([]byte(office), config.CopyBlock(got)...))
		if err != nil || err2 != nil || again.Copies[0] != got || got.Name != c.Name || got.Folder != c.Folder || got.SFTP != c.SFTP || got.S3 != c.S3 || got.Agreement != c.Agreement {
			t.Errorf("%s is read as %+v (%v, %v)", c.Name, got, err, err2)
		}
	}
}

// TestCopyChecks: what cannot be meant is refused, and it is said what to write.
func TestCopyChecks(t *testing.T) {
	tests := []struct{ name, text, say string }{
		{"nowhere", `name = "a"`, "one of folder, sftp and s3"},
		{"two places", `name = "a"` + "\n" + `folder = "/x"` + "\n" + `s3 = "https://h/b"`, "one of folder, sftp and s3"},
		{"a name with a blank", `name = "a b"` + "\n" + `folder = "/x"`, "small letters"},
		{"half a path", `name = "a"` + "\n" + `folder = "x"`, "full path"},
		{"a folder in the mirror", `name = "a"` + "\n" + `folder = "/srv/m/copy"`, "one another"},
		{"the mirror in the folder", `name = "a"` + "\n" + `folder = "/srv"`, "one another"},
		{"no user", `name = "a"` + "\n" + `sftp = "host/path"` + "\n" + `host_key = "SHA256:x"`, "user@host"},
		{"no fingerprint", `name = "a"` + "\n" + `sftp = "u@host/path"`, "fingerprint"},
		{"a bucket in clear", `name = "a"` + "\n" + `s3 = "http://s3.example/b"`, "https://"},
		{"disks of a bucket", `name = "a"` + "\n" + `s3 = "https://s3.example/b"` + "\n" + `disks = 2`, "disks"},
		{"no day", `name = "a"` + "\n" + `folder = "/x"` + "\n" + `agreement = "March"`, "2026-03-01"},
		{"a setting that is none", `name = "a"` + "\n" + `folder = "/x"` + "\n" + `secret = "s"`, "no setting"},
	}
	for _, tt := range tests {
		_, err := config.Parse([]byte(office + "\n[[copy]]\n" + tt.text + "\n"))
		if err == nil || !strings.Contains(err.Error(), tt.say) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.say)
		}
	}
	twice := office + string(config.CopyBlock(config.Copy{Name: "a", Folder: "/x"})) + string(config.Block(config.Source{Name: "a", Base: "https://h/r4", Level: "system"}))
	if _, err := config.Parse([]byte(twice)); err == nil || !strings.Contains(err.Error(), "name of its own") && !strings.Contains(err.Error(), "one of its own") {
		t.Errorf("a source and a copy of one name: %v", err)
	}
}

// TestCopyEdits: one setting of one copy is changed, and the change has a name.
func TestCopyEdits(t *testing.T) {
	file := []byte(office + string(config.CopyBlock(config.Copy{Name: "usb", Folder: "/x"})) + string(config.CopyBlock(config.Copy{Name: "nas", Folder: "/y"})))
	before, err := config.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	changed, err := config.Apply(file, config.Edit{Section: "copy nas", Key: "ours", Value: "practice"})
	if err != nil {
		t.Fatal(err)
	}
	after, err := config.Parse(changed)
	if err != nil {
		t.Fatal(err)
	}
	if got := config.Changed(before, after); !slices.Equal(got, []string{"copy nas ours"}) {
		t.Errorf("Changed = %q", got)
	}
	after.Copies = after.Copies[:1]
	if got := config.Changed(before, after); !slices.Equal(got, []string{"copy nas"}) {
		t.Errorf("Changed without it = %q", got)
	}
}
