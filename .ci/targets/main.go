// Targets checks that the server compiles for other machines, as far as types tell: it
// reads the source of all packages for each target, such as linux_arm_7. To compile and
// link them too takes half an hour; the workflows of GitHub and the release do that.
package main

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/tools/go/packages"
)

func main() {
	for _, target := range os.Args[1:] {
		began := time.Now()
		parts := strings.SplitN(target+"__", "_", 4)
		all, err := packages.Load(&packages.Config{
			Mode:       packages.LoadAllSyntax, //nolint:staticcheck // the source of all packages, and not only of ours
			Env:        append(os.Environ(), "CGO_ENABLED=0", "GOOS="+parts[0], "GOARCH="+parts[1], "GOARM="+parts[2], "GOFLAGS="),
			BuildFlags: []string{"-tags=nobadger,nomysql,nopgx"},
		}, "./xcaddy")
		if err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", target, err)
			os.Exit(1)
		}
		count := 0
		packages.Visit(all, func(*packages.Package) bool { count++; return true }, nil)
		if packages.PrintErrors(all) > 0 || count < 500 {
			fmt.Fprintf(os.Stderr, "%s does not compile\n", target)
			os.Exit(1)
		}
		fmt.Printf("%s: %d packages (%s)\n", target, count, time.Since(began).Round(time.Second))
	}
}
