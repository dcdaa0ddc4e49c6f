//go:build tools

// Package tools pins the linters, away from the product's own libraries.
package tools

import _ "honnef.co/go/tools/cmd/staticcheck"
