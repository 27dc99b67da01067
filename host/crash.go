package host

import (
	"bufio"
	"io"

	"github.com/luxfi/mpcd/internal/secret"
)

// CrashCommand is what a node starts itself as beside it: the process that prints how the node crashed. It calls PrintCrash.
const CrashCommand = "crash-printer"

// crashLineMax bounds a line, in bytes; what is more is dropped, for half a word would not be known for one.
const crashLineMax = 64 << 10

// PrintCrash prints lines until the end, without the words in them.
func PrintCrash(from io.Reader, to io.Writer) error {
	in := bufio.NewReaderSize(from, crashLineMax)
	for {
		line, more, err := in.ReadLine()
		for more && err == nil {
			line = []byte("(a line that is too long)")
			_, more, err = in.ReadLine()
		}
		if len(line) > 0 || err == nil {
			if _, err := to.Write(append(secret.WithoutWords(line), '\n')); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
