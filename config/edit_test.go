package config_test

import (
	"errors"
	"strings"
	"testing"

	"chartcellar/config"
)

func TestApply(t *testing.T) {
	file := append(config.Sample(valid()), config.Block(config.Source{Name: "emr", Base: "https://emr.example", Level: "system", Auth: "none"})...)
	file = append(file, config.Block(config.Source{Name: "old", Base: "https://old.example", Level: "system", Auth: "none"})...)
	out, err := config.Apply(file,
		config.Edit{Section: "source old", Key: "pull", Value: "every 4 h"},
		config.Edit{Section: "alerts", Key: "mail_to", Value: []string{"a@b.example", "c@d.example"}},
		config.Edit{Section: "", Key: "zone", Value: "Europe/Berlin"},
		config.Edit{Section: "alerts", Key: "gap_days", Value: 3})
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Parse(out)
	if err != nil {
		t.Fatal(err)
	}
	if s.Sources[0].Pull != "daily 02:00" || s.Sources[1].Pull != "every 4 h" || s.Zone != "Europe/Berlin" ||
		len(s.Alerts.MailTo) != 2 || s.Alerts.GapDays != 3 {
		t.Errorf("%+v", s)
	}
	if n := strings.Count(string(out), "#"); n != strings.Count(string(file), "#") {
		t.Errorf("%d remarks, before %d", n, strings.Count(string(file), "#"))
	}
}

func TestApplyRefuses(t *testing.T) {
	file := config.Sample(valid())
	if _, err := config.Apply(file, config.Edit{Section: "source nobody", Key: "pull", Value: "off"}); !errors.Is(err, config.ErrNoSection) {
		t.Errorf("a source that is not there: %v", err)
	}
	if _, err := config.Apply(file, config.Edit{Key: "nonsense", Value: "x"}); err == nil {
		t.Error("a setting that does not exist was written")
	}
	if _, err := config.Apply(file, config.Edit{Key: "data", Value: "relative"}); err == nil {
		t.Error("a value that is refused when it is read was written")
	}
}

// TestApplyAdds: a setting that a file of an earlier release lacks is added in its
// section.
func TestApplyAdds(t *testing.T) {
	file := []byte("data = \"/srv/m\"\nbox_key = \"/etc/b\"\n\n[[source]]\nname = \"emr\"\nbase = \"https://e.example\"\nlevel = \"system\"\n")
	out, err := config.Apply(file, config.Edit{Section: "source emr", Key: "full", Value: "Sat 01:00"}, config.Edit{Key: "verify", Value: "off"},
		config.Edit{Section: "alerts", Key: "ping", Value: "https://p.example"}, config.Edit{Section: "alerts", Key: "gap_days", Value: 3})
	if err != nil {
		t.Fatal(err)
	}
	s, err := config.Parse(out)
	if err != nil || s.Sources[0].Full != "Sat 01:00" || s.Verify != "off" || s.Alerts.Ping != "https://p.example" || s.Alerts.GapDays != 3 {
		t.Errorf("%+v, %v\n%s", s, err, out)
	}
}

// TestChanged names the settings that differ, and nothing for remarks, order, or a list
// that is empty in another way.
func TestChanged(t *testing.T) {
	base := func() config.Settings {
		s := valid()
		s.Sources = []config.Source{{Name: "main", Pull: "daily 02:00", Types: []string{}}, {Name: "old"}}
		return s
	}
	a := base()
	if got := config.Changed(a, base()); len(got) != 0 {
		t.Errorf("Changed of the same: %q", got)
	}
	b := base()
	b.Zone, b.Alerts.MailTo, b.Alerts.GapDays = "Europe/Berlin", []string{"a@b.example"}, 3
	b.Sources[0].Pull, b.Sources[0].Types = "off", nil
	b.Sources[1].Name = "new"
	want := "zone; alerts mail_to; alerts gap_days; source main pull; source old; source new"
	if got := strings.Join(config.Changed(a, b), "; "); got != want {
		t.Errorf("Changed = %q, want %q", got, want)
	}
}
