package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"chartcellar/cmd/chartcellar/internal/viewer"
	"chartcellar/config"
	"chartcellar/fhirsync/rest"
	"chartcellar/store"
)

// steps are the steps of a test of a connection. With e they are printed as they go.
type steps struct {
	e    *env
	list []viewer.Step
}

// stepWord is how a state stands on the screen.
var stepWord = map[string]string{"good": "good", "failed": "FAILED", "not reached": "not checked"}

func (s *steps) line(name, state, detail string) {
	s.list = append(s.list, viewer.Step{Name: name, State: state, Words: detail})
	if s.e != nil {
		s.e.printf("%s\n", strings.TrimRight(fmt.Sprintf("  %d. %-22s %s   %s", len(s.list), name, stepWord[state], detail), " "))
	}
}

// step notes one step. An error comes back in words and ends the test.
func (s *steps) step(name, detail string, err error) error {
	if err != nil {
		s.line(name, "failed", "")
		return explain(err)
	}
	s.line(name, "good", detail)
	return nil
}

// failed names the step that failed; "" if none did.
func (s *steps) failed() string {
	if n := len(s.list); n > 0 && s.list[n-1].State == "failed" {
		return s.list[n-1].Name
	}
	return ""
}

// explain puts the words of what failed beside the step.
func (s *steps) explain(err error) {
	p := explain(err)
	if s.failed() != "" {
		s.list[len(s.list)-1].Words = strings.TrimSpace(p.What + " " + p.Next)
		return
	}
	s.list = append(s.list, viewer.Step{Name: "the test itself", State: "failed", Words: p.What})
}

// testSteps tests one step after the other and names the one that fails.
func (e *env) testSteps(ctx context.Context, m *store.Mirror, src config.Source, s *steps) error {
	c, err := connection(m, src, e, nil)
	if err := s.step("address", src.Base, err); err != nil {
		return err
	}
	defer c.CloseIdle()
	capability, err := c.Capability(ctx)
	if err := s.step("capabilities", fmt.Sprintf("%s, FHIR %s, %d types", capability.Software, capability.FHIRVersion, len(capability.Types)), err); err != nil {
		return err
	}
	tokens, conf, err := e.signIn(ctx, m, src, c)
	if err := s.step("sign-in address", hostOf(conf.TokenURL), err); err != nil {
		return err
	}
	_, err = tokens.Token(ctx)
	granted, said := tokens.Granted()
	detail := strings.Join(granted, " ")
	if !said {
		detail = "the EMR did not say what it granted"
	}
	if err := s.step("sign-in", detail, err); err != nil {
		return err
	}
	if src.Level == "group" && src.Group != "" {
		if err := s.group(ctx, c, capability, src.Group); err != nil {
			return err
		}
	}
	offered := map[string]bool{"system": capability.Export.System, "patient": capability.Export.Patient, "group": capability.Export.Group}
	detail = "offered at level " + src.Level
	if !offered[src.Level] {
		detail = "NOT announced at level " + src.Level + "; the first run will show"
	}
	return s.step("export", detail, nil)
}

// group looks whether there is such a group, by reading it. An EMR that lets
// nobody read a group says nothing, and then the step says nothing either: a
// kick-off would tell, but starts work at the EMR.
func (s *steps) group(ctx context.Context, c *rest.Client, capability rest.Capability, id string) error {
	body, state, err := c.Read(ctx, "Group", id)
	var found struct{ ResourceType, ID string }
	switch {
	case rest.Is(err, rest.SignIn, rest.Forbidden, rest.Refused, rest.ServerBroken, rest.NotFHIR),
		err == nil && state == rest.Missing && !slices.Contains(capability.Reads, "Group"):
		s.line("group", "not reached", "cannot be checked before the first run: the EMR does not let us read groups")
		return nil
	case err != nil:
		return s.step("group", "", err)
	case state == rest.Found && json.Unmarshal(body, &found) == nil && found.ResourceType == "Group" && found.ID == id:
		return s.step("group", id, nil)
	}
	return s.step("group", "", &plainError{exitFailed, fmt.Sprintf("The EMR has no group %q, or does not show it to this client.", id), nothingLost,
		"Ask the vendor for the id of the group that holds all patients, and give it with --group, or as \"group\" in the settings."})
}
