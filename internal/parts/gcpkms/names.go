package gcpkms

import (
	"regexp"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The syntax of resource names, as the definition's comments give it.
const (
	idSyntax       = `[a-zA-Z0-9_-]{1,63}`
	locationSyntax = `projects/[a-z][a-z0-9-]{4,28}[a-z0-9]/locations/[a-z0-9-]{1,63}`
)

var (
	idRE       = regexp.MustCompile(`^` + idSyntax + `$`)
	locationRE = regexp.MustCompile(`^` + locationSyntax + `$`)
	ringRE     = regexp.MustCompile(`^` + locationSyntax + `/keyRings/` + idSyntax + `$`)
	keyRE      = regexp.MustCompile(`^(` + locationSyntax + `/keyRings/` + idSyntax + `)/cryptoKeys/` + idSyntax + `$`)
	versionRE  = regexp.MustCompile(`^(` + locationSyntax + `/keyRings/` + idSyntax + `/cryptoKeys/` + idSyntax +
		`)/cryptoKeyVersions/([1-9][0-9]{0,8})$`)
	labelRE = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)
	valueRE = regexp.MustCompile(`^[a-z0-9_-]{0,63}$`)
)

func invalid(format string, a ...any) error {
	return status.Errorf(codes.InvalidArgument, format, a...)
}

func precondition(format string, a ...any) error {
	return status.Errorf(codes.FailedPrecondition, format, a...)
}

func notFound(format string, a ...any) error { return status.Errorf(codes.NotFound, format, a...) }

// checkName refuses a name that is not of the form.
func checkName(re *regexp.Regexp, field, name string) error {
	if !re.MatchString(name) {
		return invalid("Resource name [%s] in field %s does not match the required form.", name, field)
	}
	return nil
}
