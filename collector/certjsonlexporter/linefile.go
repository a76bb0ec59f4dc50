package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	fileMode      = 0o600
	directoryMode = 0o700
	tailBlock     = 64 << 10
)

var lineEnd = []byte{'\n'}

// lineFile is a file that holds whole lines only, whatever fails. Its owner lets one in at a time,
// but for datasync.
type lineFile struct {
	path     string
	maxBytes int64
	file     *os.File
	// size is the end of the last whole line; where torn, what is behind it is cut before the next.
	size int64
	torn bool
	// synced is the end of the last line on disk.
	synced int64
}

// openLineFile opens or creates a file and cuts what a killed writer left behind its last line end.
func openLineFile(path string, maxBytes int64) (*lineFile, int64, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, 0, err
	}
	f := &lineFile{path: absolute, maxBytes: maxBytes}
	cut, err := f.open()
	return f, cut, err
}

func (f *lineFile) open() (int64, error) {
	if err := os.MkdirAll(filepath.Dir(f.path), directoryMode); err != nil {
		return 0, err
	}
	flags := os.O_RDWR | os.O_APPEND | os.O_CREATE | syscall.O_NONBLOCK
	file, err := os.OpenFile(f.path, flags, fileMode)
	if err != nil {
		return 0, err
	}
	size, cut, err := prepare(file)
	if err != nil {
		return 0, errors.Join(fmt.Errorf("%s: %w", f.path, err), file.Close())
	}
	f.file, f.size, f.synced, f.torn = file, size, size, false
	return cut, syncDirectory(filepath.Dir(f.path))
}

// prepare locks the file and ends it at its last line end.
func prepare(file *os.File) (size, cut int64, err error) {
	info, err := file.Stat()
	if err != nil {
		return 0, 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, 0, errors.New("not a regular file")
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return 0, 0, fmt.Errorf("another writer has it open: %w", err)
	}
	size, err = findLastLineEnd(file, info.Size())
	if err != nil || size == info.Size() {
		return size, 0, err
	}
	return size, info.Size() - size, file.Truncate(size)
}

func findLastLineEnd(file *os.File, end int64) (int64, error) {
	block := make([]byte, tailBlock)
	for end > 0 {
		start := max(0, end-tailBlock)
		part := block[:end-start]
		if _, err := file.ReadAt(part, start); err != nil {
			return 0, err
		}
		if last := bytes.LastIndexByte(part, '\n'); last >= 0 {
			return start + int64(last) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// append writes a line and its end by one call of the system. After an error it is not in the file.
func (f *lineFile) append(line []byte) error {
	if err := f.cutTorn(); err != nil {
		return err
	}
	size := int64(len(line) + len(lineEnd))
	written, err := unix.Writev(int(f.file.Fd()), [][]byte{line, lineEnd})
	if err == nil && int64(written) < size {
		err = fmt.Errorf("%d of %d bytes written: %w", written, size, syscall.ENOSPC)
	}
	if err != nil {
		f.torn = true
		return errors.Join(fmt.Errorf("%s: %w", f.path, err), f.cutTorn())
	}
	f.size += size
	return nil
}

func (f *lineFile) sync() error {
	return f.settle(f.size, f.datasync())
}

func (f *lineFile) datasync() error {
	return unix.Fdatasync(int(f.file.Fd()))
}

// settle takes note of a sync of the lines up to end. After an error all that is not on disk is cut:
// what the kernel still has of it may be lost or not.
func (f *lineFile) settle(end int64, err error) error {
	if err == nil {
		f.synced = end
		return nil
	}
	f.size, f.torn = f.synced, true
	return errors.Join(fmt.Errorf("%s: %w", f.path, err), f.cutTorn())
}

func (f *lineFile) cutTorn() error {
	if !f.torn {
		return nil
	}
	if err := f.file.Truncate(f.size); err != nil {
		return fmt.Errorf("%s: cannot cut what was not written whole: %w", f.path, err)
	}
	f.torn = false
	return nil
}

// mustBeReplaced says whether the path has no file any more, or no room for so many bytes.
func (f *lineFile) mustBeReplaced(size int64) bool {
	return !f.isAtPath() || f.isFull(size)
}

func (f *lineFile) isFull(size int64) bool {
	return f.maxBytes > 0 && f.size > 0 && f.size+size > f.maxBytes
}

// replace opens a new file at the path; one that is there is renamed first.
func (f *lineFile) replace() (rotated bool, err error) {
	if f.isAtPath() {
		if err := os.Rename(f.path, nameRotated(f.path, time.Now())); err != nil {
			return false, err
		}
		rotated = true
	}
	return rotated, f.reopen()
}

// isAtPath is false after somebody renamed or deleted the file.
func (f *lineFile) isAtPath() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	open, err := f.file.Stat()
	return err == nil && os.SameFile(there, open)
}

func (f *lineFile) reopen() error {
	former := f.file
	if _, err := f.open(); err != nil {
		return err
	}
	return former.Close()
}

func (f *lineFile) close() error {
	return f.file.Close()
}

// nameRotated is the name that `cert` knows rotated files by, the first that is free from now on.
func nameRotated(path string, now time.Time) string {
	suffix := filepath.Ext(path)
	stem := strings.TrimSuffix(path, suffix)
	for ; ; now = now.Add(time.Microsecond) {
		utc := now.UTC()
		stamp := fmt.Sprintf("%s%06dZ", utc.Format("20060102T150405"), utc.Nanosecond()/1000)
		name := stem + "." + stamp + suffix
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name
		}
	}
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
