package config_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"chartcellar/config"
)

func valid() config.Settings {
	return config.Settings{Practice: "Harbour \"Street\"", Data: "/srv/mirror", BoxKey: "/etc/cc/box.key"}
}

func TestWrittenAndReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := valid()
		s.Practice = rapid.String().Draw(t, "practice")
		if strings.ContainsFunc(s.Practice, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
			t.Skip("control characters are not names")
		}
		s.ReserveMB = rapid.Int64Range(0, 1<<30).Draw(t, "reserve")
		src := config.Source{Name: "emr", Base: "https://emr.example/fhir", Level: "system", Auth: "none", Mode: "auto", Pull: "daily 02:00", Full: "Sun 03:00",
			Types:       rapid.SliceOf(rapid.SampledFrom([]string{"Patient", "Condition"})).Draw(t, "types"),
			Origins:     rapid.SliceOf(rapid.SampledFrom([]string{"https://a.example", "https://b.example:8443/"})).Draw(t, "origins"),
			FileOrigins: rapid.SliceOf(rapid.SampledFrom([]string{"https://a.example", "https://b.example:8443/"})).Draw(t, "file origins"),
			Rate:        float64(rapid.IntRange(-1, 50).Draw(t, "rate"))}
		file := append(config.Sample(s), config.Block(src)...)
		got, err := config.Parse(file)
		if err != nil {
			t.Skip("a name that TOML cannot hold")
		}
		want := src
		want.Overlap = got.Sources[0].Overlap
		for _, list := range []*[]string{&want.Types, &want.Origins, &want.FileOrigins,
			&got.Sources[0].Types, &got.Sources[0].Origins, &got.Sources[0].FileOrigins} {
			if len(*list) == 0 {
				*list = nil
			}
		}
		if !reflect.DeepEqual(got.Sources[0], want) || got.Practice != s.Practice || got.ReserveMB != s.ReserveMB {
			t.Fatalf("Parse = %+v, want %+v with %+v", got, s, want)
		}
	})
}

func TestRefused(t *testing.T) {
	base := "data = \"/srv/m\"\nbox_key = \"/etc/b\"\n"
	copies := "[[copy]]\nname = \"a\"\nfolder = \"/a\"\n[[copy]]\nname = \"b\"\nfolder = \"/b\"\n[[holding]]\nname = \"h\"\nfolder = \"/x\"\n"
	tests := []struct{ name, file, want string }{
		{"an unknown setting", base + "colour = \"red\"\n", "colour"},
		{"broken TOML", base + "practice = \n", "line 3"},
		{"a relative folder", "data = \"m\"\nbox_key = \"/etc/b\"\n", "full path"},
		{"the box key inside", "data = \"/srv/m\"\nbox_key = \"/srv/m/b\"\n", "outside"},
		{"a bad name", base + "[[source]]\nname = \"My EMR\"\nbase = \"https://x\"\n", "small letters"},
		{"no https", base + "[[source]]\nname = \"e\"\nbase = \"http://x\"\n", "https://"},
		{"a group without its id", base + "[[source]]\nname = \"e\"\nbase = \"https://x\"\n", "group"},
		{"an origin with a path", base + "[[source]]\nname = \"e\"\nbase = \"https://x\"\nlevel = \"system\"\norigins = [\"https://x/y\"]\n", "origins"},
		{"an http origin of files", base + "[[source]]\nname = \"e\"\nbase = \"https://x\"\nlevel = \"system\"\nfile_origins = [\"http://x\"]\n", "file_origins"},
		{"a relative authority", base + "[[source]]\nname = \"e\"\nbase = \"https://x\"\nlevel = \"system\"\nca = \"ca.pem\"\n", "full path"},
		{"a holding without its folder", base + "[[holding]]\nname = \"h\"\n", "one of folder and sftp"},
		{"a holding that is no folder", base + "[[holding]]\nname = \"h\"\nfolder = \"sftp://nas/x\"\n", "folder of this computer"},
		{"a holding in a folder and at a server", base + "[[holding]]\nname = \"h\"\nfolder = \"/x\"\nsftp = \"a@b/c\"\n", "one of folder and sftp"},
		{"a holding at no server", base + "[[holding]]\nname = \"h\"\nsftp = \"b/c\"\nhost_key = \"SHA256:x\"\n", "user@host:port/path"},
		{"a holding at a server that nobody confirmed", base + "[[holding]]\nname = \"h\"\nsftp = \"a@b/c\"\n", "fingerprint"},
		{"a password in the settings", base + "[[holding]]\nname = \"h\"\nsftp = \"a:secret@b/c\"\nhost_key = \"SHA256:x\"\n", "write no password"},
		{"a holding for a copy that is not there", base + copies + "copies = [\"a\", \"c\"]\n", "no second copy \"c\""},
		{"a holding for one copy only", base + copies + "copies = [\"a\"]\n", "at least two"},
		{"a holding for one copy twice", base + copies + "copies = [\"a\", \"a\"]\n", "at least two"},
		{"a holding inside the mirror", base + "[[holding]]\nname = \"h\"\nfolder = \"/srv/m/parts\"\n", "outside the data folder"},
		{"a holding around the mirror", base + "[[holding]]\nname = \"h\"\nfolder = \"/srv\"\n", "around it"},
		{"a bad pattern", base + "[[holding]]\nname = \"h\"\nfolder = \"/x\"\npattern = \"[\"\n", "pattern"},
		{"a pattern with folders", base + "[[holding]]\nname = \"h\"\nfolder = \"/x\"\npattern = \"a/*\"\n", "pattern"},
		{"an odd expectation", base + "[[holding]]\nname = \"h\"\nfolder = \"/x\"\nexpected = \"often\"\n", "quarterly"},
		{"a comma in what is covered", base + "[[holding]]\nname = \"h\"\nfolder = \"/x\"\ncovers = [\"a, b\"]\n", "covers"},
		{"a relative format document", base + "[[holding]]\nname = \"h\"\nfolder = \"/x\"\nformat_document = \"a.pdf\"\n", "format_document"},
		{"a bad name of a holding", base + "[[holding]]\nname = \"My dumps\"\nfolder = \"/x\"\n", "small letters"},
		{"two holdings of one name", base + strings.Repeat("[[holding]]\nname = \"h\"\nfolder = \"/x\"\n", 2), "name"},
		{"a holding named like a source", base + "[[source]]\nname = \"h\"\nbase = \"https://x\"\nlevel = \"system\"\n[[holding]]\nname = \"h\"\nfolder = \"/x\"\n", "another holding has that name"},
		{"a bad length of time", base + "[[source]]\nname = \"e\"\noverlap = \"soon\"\n", "10m"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := config.Parse([]byte(tt.file))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Parse = %v, want it to speak of %q", err, tt.want)
			}
		})
	}
}

// TestHoldingWrittenAndReadBack: a holding as connect writes it is the one that is read,
// and may be edited; what is left out has its default.
func TestHoldingWrittenAndReadBack(t *testing.T) {
	h := config.Holding{Name: "billing", Folder: "/srv/\"exports\"", Pattern: "*.zip", Expected: "monthly",
		Covers: []string{"billing", "audit trail"}, FormatDocument: "/srv/format.pdf", Copies: []string{"usb", "nas"}}
	file := append(config.Sample(valid()), config.Block(config.Source{Name: "emr", Base: "https://emr.example", Level: "system"})...)
	for _, name := range []string{"usb", "nas", "far"} {
		file = append(file, config.CopyBlock(config.Copy{Name: name, Folder: "/mnt/" + name})...)
	}
	file = append(file, config.HoldingBlock(h)...)
	file = append(file, config.HoldingBlock(config.Holding{Name: "dumps", SFTP: "office@nas:22/dumps", HostKey: "SHA256:x"})...)
	s, err := config.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	got, ok := s.Holding("billing")
	h.Look, h.Settle = "every 15 min", config.Duration{Duration: 2 * time.Minute}
	if !ok || !reflect.DeepEqual(got, h) {
		t.Errorf("billing = %+v, want %+v", got, h)
	}
	if d, ok := s.Holding("dumps"); !ok || d.Pattern != "*" || d.SFTP != "office@nas:22/dumps" || d.HostKey != "SHA256:x" || !d.Meant("far") || got.Meant("far") || !got.Meant("nas") || d.Expected != "none" || d.Look != "every 15 min" {
		t.Errorf("dumps = %+v, %v", d, ok)
	}
	if _, ok := s.Holding("nobody"); ok {
		t.Error("a holding that is not there was found")
	}
	edited, err := config.Apply(file, config.Edit{Section: "holding dumps", Key: "expected", Value: "daily"},
		config.Edit{Section: "holding dumps", Key: "covers", Value: []string{"schedule"}})
	if err != nil {
		t.Fatal(err)
	}
	after, err := config.Parse(edited)
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(config.Changed(s, after), "; "); got != "holding dumps expected; holding dumps covers" {
		t.Errorf("Changed = %q", got)
	}
	after.Holdings = after.Holdings[:1]
	if got := strings.Join(config.Changed(s, after), "; "); got != "holding dumps" {
		t.Errorf("Changed = %q", got)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(config.Sample(valid()))
	f.Add(config.Block(config.Source{Name: "a"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := config.Parse(b)
		if err == nil && s.Data == "" {
			t.Error("accepted settings without a data folder")
		}
	})
}
