// Command licences prints the licences of all that is linked into a release, on any of
// its platforms. It fails if one is missing or not on the list of those allowed.
package main

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// allowed are the licences whose terms a release keeps: it has their texts. Nothing
// forbids to link these into a program under the Apache License 2.0.
var allowed = []string{
	"Apache-2.0", "BSD-2-Clause", "BSD-2-Clause-Views", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT",
	"OFL-1.1", // a font, which may be a part of a program
}

// read are texts that no program knows, which we have read, by their SHA-256. A new
// version of one must be read again.
var read = map[string][]string{
	"f597097efe3d97021f89170746bd3a0fb9a8b6fb26b82043ed68a4e0283bee6c": {"MIT", "BSD-2-Clause", "BSD-3-Clause"}, // modernc.org/libc: musl, Go and others
	"5ae5bee3072a841376451b48d8cfcec7188e10543926d5870828d36c8a750dc5": {"BSD-3-Clause"},                        // modernc.org/memory: of a picture, which is not linked
	"f4a00ade8f4057ab0ea49097d9c459df8559fcf10ca78da0c950343fb7428d37": {"MIT", "BSD-3-Clause", "Apache-2.0"},   // modernc.org/sqlite: the part under MPL-2.0 is not linked
	"8438c9c89b849131ead81d5435cb97fcf052df5b0b286dda8a2d4c29e6cb3fd0": {"public domain"},                       // SQLite
}

var (
	licence = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)([.-].*)?$`)
	notice  = regexp.MustCompile(`(?i)^(notice|patents|copyright)([.-].*)?$`)
)

// systems are those of the release, since each links some modules of its own.
var systems = []string{"linux", "darwin", "windows", "freebsd"}

func main() {
	log.SetFlags(0)
	linked := map[string]string{} // the name of a package's module and version, by the package's folder
	for _, system := range systems {
		list := exec.Command("go", "list", "-deps", "-tags=nobadger,nomysql,nopgx",
			"-f={{with .Module}}{{if not .Main}}{{$.Dir}}\t{{.Path}} {{.Version}}\t{{.Dir}}{{end}}{{end}}", "./xcaddy")
		list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		list.Stderr = os.Stderr
		output, err := list.Output()
		if err != nil {
			log.Fatalf("listing the packages for %s: %v", system, err)
		}
		for line := range strings.Lines(string(output)) {
			if fields := strings.Split(strings.TrimSpace(line), "\t"); len(fields) == 3 {
				for dir := fields[0]; len(dir) >= len(fields[2]); dir = filepath.Dir(dir) {
					linked[dir] = fields[1]
				}
			}
		}
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		log.Fatalf("asking for GOROOT: %v", err)
	}
	linked[strings.TrimSpace(string(root))] = "the standard library of Go"

	modules := map[string][]string{} // by the text of a licence or notice
	kinds := map[string][]string{}   // the licences of each module
	var problems []string
	for dir, module := range linked {
		entries, err := os.ReadDir(dir)
		if err != nil {
			log.Fatal(err)
		}
		for _, entry := range entries {
			if entry.IsDir() || !licence.MatchString(entry.Name()) && !notice.MatchString(entry.Name()) {
				continue
			}
			file := filepath.Join(dir, entry.Name())
			text, err := os.ReadFile(file)
			if err != nil {
				log.Fatal(err)
			}
			if licence.MatchString(entry.Name()) {
				names, err := classify(text)
				if err != nil {
					problems = append(problems, fmt.Sprintf("%s: %v", file, err))
				}
				for _, name := range names {
					if !slices.Contains(kinds[module], name) {
						kinds[module] = append(kinds[module], name)
					}
				}
			}
			modules[string(text)] = append(modules[string(text)], module)
		}
	}
	for _, module := range linked {
		slices.Sort(kinds[module])
		if len(kinds[module]) == 0 {
			problems = append(problems, module+" has no licence")
		}
	}
	if len(problems) > 0 {
		slices.Sort(problems)
		log.Fatal(strings.Join(slices.Compact(problems), "\n"))
	}

	fmt.Println("This program has parts of others in it. These are their licences:")
	for _, text := range slices.SortedFunc(maps.Keys(modules), func(a, b string) int {
		return cmp.Or(cmp.Compare(slices.Min(modules[a]), slices.Min(modules[b])), cmp.Compare(a, b))
	}) {
		fmt.Printf("\n%s\n\n", strings.Repeat("=", 80))
		slices.Sort(modules[text])
		for _, module := range slices.Compact(modules[text]) {
			fmt.Printf("%s (%s)\n", module, strings.Join(kinds[module], ", "))
		}
		fmt.Printf("\n%s\n", strings.TrimSpace(text))
	}
}

// classify returns the names of the licences in a text. It is an error if one is not
// allowed, or if most of the text is no licence that is known.
func classify(text []byte) ([]string, error) {
	if names, known := read[fmt.Sprintf("%x", sha256.Sum256(text))]; known {
		return names, nil
	}
	coverage := licensecheck.Scan(text)
	var names []string
	for _, match := range coverage.Match {
		if !match.IsURL {
			names = append(names, match.ID)
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	for _, name := range names {
		if !slices.Contains(allowed, name) {
			return nil, fmt.Errorf("%s is not among the licences that are allowed", name)
		}
	}
	if len(names) == 0 || coverage.Percent < 60 {
		return nil, fmt.Errorf("this is no licence that is known: %s, %.0f %%", names, coverage.Percent)
	}
	return names, nil
}
