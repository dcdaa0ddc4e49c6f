package config_test

import (
	"reflect"
	"strings"
	"testing"

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
