package viewer_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"chartcellar/store/access"
)

// TestBackupsWhileRunning: the page of backups can be made while a run goes on.
func TestBackupsWhileRunning(t *testing.T) {
	o := newOffice(t, practice())
	owner := o.settle()[access.Owner]
	body(t, o.ask(ask{method: http.MethodPost, path: "/backups/run", token: owner, form: url.Values{}}))
	res := o.ask(ask{path: "/backups", token: owner})
	if text := body(t, res); res.StatusCode != http.StatusOK || !strings.Contains(text, "Observations are coming in.") {
		t.Errorf("/backups while a run goes on: %d\n%s", res.StatusCode, text)
	}
}
