package certjsonlexporter // import "github.com/cert-otel/cert-otel/collector/certjsonlexporter"

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
)

// Config of the exporter.
type Config struct {
	// Path of the file. It is created for its owner alone, missing directories likewise.
	Path string `mapstructure:"path"`

	// MaxMB renames a file that would grow beyond so many megabytes (10^6 bytes) to
	// NAME.<UTC time>.SUFFIX beside it. 0 lets it grow. Nothing is ever deleted.
	MaxMB float64 `mapstructure:"max_mb"`

	// QueueConfig is exporterhelper's. By default the sender waits for the disk (`wait_for_result`);
	// with `storage`, set that to false: the queue is durable then.
	QueueConfig configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`

	// RetryConfig is exporterhelper's. By default it goes on for as long as the sender waits.
	RetryConfig configretry.BackOffConfig `mapstructure:"retry_on_failure"`
}

const (
	bytesPerMB = 1_000_000
	// defaultConsumers is enough that both cores encode while the lines before are synced.
	defaultConsumers = 32
)

func createDefaultConfig() component.Config {
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.WaitForResult = true
	queue.NumConsumers = defaultConsumers
	retry := configretry.NewDefaultBackOffConfig()
	retry.MaxElapsedTime = 0
	return &Config{QueueConfig: configoptional.Some(queue), RetryConfig: retry}
}

// Validate names the key that is wrong.
func (c *Config) Validate() error {
	var problems []error
	if c.Path == "" {
		problems = append(problems, errors.New("path is empty: name the file that lines are appended to"))
	}
	if c.MaxMB < 0 {
		problems = append(problems, fmt.Errorf("max_mb is %g: it must be 0 (no rotation) or more", c.MaxMB))
	}
	return errors.Join(problems...)
}
