// Package layout holds the arrows between the packages: what fights this test is code in the wrong place.
package layout

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "socialctl/"

// arrows says which packages of the project each top folder may import. A folder's own packages it may import anyway.
var arrows = map[string][]string{
	"cmd":      {"server", "admin", "social", "sharding", "archive", "configs"},
	"server":   {"social", "sharding", "configs"},
	"admin":    {"social", "sharding", "archive", "configs"},
	"social":   {"sharding", "archive", "configs"},
	"sharding": {"configs"},
	"archive":  {"configs"},
	"configs":  {},
}

// owners says which top folders may import a package that is not of the project, in code that is not a test. A new
// dependency is added here, with its owner. The longest match counts.
var owners = map[string][]string{
	"github.com/spf13/cobra":              {"cmd"},
	"github.com/spf13/pflag":              {"cmd"},
	"github.com/olekukonko/tablewriter":   {"cmd"},
	"github.com/schollz/progressbar":      {"cmd"},
	"golang.org/x/term":                   {"cmd"},
	"github.com/labstack/echo":            {"server"},
	"github.com/danielgtaylor/huma":       {"server"},
	"github.com/prometheus/client_golang": {"server", "admin"},
	"golang.org/x/time":                   {"admin"},
	"github.com/redis/go-redis":           {"social"},
	"github.com/alicebob/miniredis":       {"social"},
	"github.com/alexedwards/argon2id":     {"social"},
	"github.com/hashicorp/golang-lru":     {"social"},
	"github.com/rivo/uniseg":              {"social"},
	"github.com/go-sql-driver/mysql":      {"sharding"},
	"modernc.org/sqlite":                  {"sharding", "archive"}, // the embedded archive is a file of its own
	"github.com/pressly/goose":            {"sharding"},
	"github.com/tsuna/gohbase":            {"archive"},
	"github.com/sirupsen/logrus":          {"archive"}, // gohbase logs with it
	"github.com/spf13/viper":              {"configs"},
	"github.com/go-viper/mapstructure":    {"configs"},
	"go.yaml.in/yaml":                     {"configs"},
	"github.com/gofrs/flock":              {"sharding", "social"},
	"golang.org/x/sync":                   {"server", "admin", "social", "sharding", "archive"},
	"golang.org/x/text":                   {"server", "social"},
	// Of the standard library: no SQL and no HTTP in commands, no HTTP in the domain.
	"database/sql": {"admin", "social", "sharding", "archive"},
	"net/http":     {"server", "admin"}, // admin: bench is a client
}

type goPackage struct {
	ImportPath string
	Imports    []string // of code that is not a test
}

func listPackages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports", "./...")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &complaints)
	}
	var all []goPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// topOf is the folder of a package of the project; "" for a package of somebody else's.
func topOf(importPath string) string {
	rest, ours := strings.CutPrefix(importPath, module)
	if !ours {
		return ""
	}
	top, _, _ := strings.Cut(rest, "/")
	return top
}

// isTestHelper reports whether a package is there for tests alone. It may import whatever it likes, and nothing but tests
// may import it.
func isTestHelper(importPath string) bool { return strings.HasSuffix(importPath, "test") }

func TestArrows(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range listPackages(t) {
		top := topOf(p.ImportPath)
		if top == "" || isTestHelper(p.ImportPath) {
			continue // this package itself
		}
		allowed, known := arrows[top]
		if !known {
			t.Errorf("%s: no folder %s is foreseen", p.ImportPath, top)
			continue
		}
		seen[top] = true
		for _, path := range p.Imports {
			if problem := misplaced(top, allowed, path); problem != "" {
				t.Errorf("%s imports %s: %s", p.ImportPath, path, problem)
			}
		}
	}
	for top := range arrows {
		if !seen[top] {
			t.Errorf("no package of %s was looked at", top)
		}
	}
}

// misplaced says what is wrong with an import of a package in the folder top; "" for nothing.
func misplaced(top string, allowed []string, path string) string {
	if to := topOf(path); to != "" {
		switch {
		case isTestHelper(path):
			return "it is for tests"
		case to != top && !slices.Contains(allowed, to):
			return "this arrow does not go down"
		}
		return ""
	}
	longest := ""
	for prefix := range owners {
		if (path == prefix || strings.HasPrefix(path, prefix+"/")) && len(prefix) > len(longest) {
			longest = prefix
		}
	}
	first, _, _ := strings.Cut(path, "/")
	switch {
	case longest == "" && strings.Contains(first, "."):
		return "nobody owns it; name its owner in layout_test.go"
	case longest != "" && !slices.Contains(owners[longest], top):
		return "it belongs to " + strings.Join(owners[longest], ", ")
	}
	return ""
}

// TestMisplacedFindsWhatItIsFor keeps the test above from passing for want of an eye.
func TestMisplacedFindsWhatItIsFor(t *testing.T) {
	for _, c := range []struct {
		top, path string
		wrong     bool
	}{
		{"social", "socialctl/sharding", false},
		{"social", "socialctl/social/schema", false},
		{"cmd", "github.com/spf13/cobra", false},
		{"server", "net/http", false},
		{"admin", "time", false},
		{"sharding", "socialctl/social", true},
		{"server", "socialctl/admin", true},
		{"admin", "socialctl/server", true},
		{"social", "socialctl/server", true},
		{"social", "socialctl/sharding/shardingtest", true},
		{"configs", "socialctl/sharding", true},
		{"cmd", "database/sql", true},
		{"cmd", "net/http", true},
		{"social", "net/http", true},
		{"social", "modernc.org/sqlite/lib", true},
		{"admin", "github.com/labstack/echo/v4", true},
		{"server", "github.com/redis/go-redis/v9", true},
		{"admin", "github.com/somebody/else", true},
	} {
		if got := misplaced(c.top, arrows[c.top], c.path); (got != "") != c.wrong {
			t.Errorf("%s imports %s: %q", c.top, c.path, got)
		}
	}
}
