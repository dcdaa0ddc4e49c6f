package main

import (
	"context"

	"chartcellar/cmd/chartcellar/internal/viewer"
)

func (o *office) recentChanges(context.Context) ([]viewer.SettingChange, error) { return nil, nil }

func (o *office) Log(context.Context, viewer.Actor, viewer.LogScope, uint64, int) (viewer.LogPage, error) {
	return viewer.LogPage{}, nil
}
