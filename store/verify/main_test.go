package verify_test

import (
	"os"
	"testing"

	"chartcellar/store/storetest"
)

func TestMain(m *testing.M) { os.Exit(storetest.InMemory(m)) }
