package inbox

const openVariable = "INBOX_TEST_OPEN"

func openInProcess(string) {}
