package main

import (
	"context"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

func (o *office) recentChanges(context.Context) ([]viewer.SettingChange, error) { return nil, nil }

func (o *office) SetAlerts(context.Context, viewer.Actor, viewer.Alerts) error { return nil }
func (o *office) TestAlert(context.Context, viewer.Actor) (string, error)      { return "", nil }
