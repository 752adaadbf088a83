package cli

// Windows has no such flags. Links were skipped when the folder was listed, and os.Root keeps a link from leading out of it.
const noFollow, folderOnly = 0, 0
