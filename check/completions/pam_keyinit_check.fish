complete -c pam_keyinit_check -l from -d 'With --explain: the session keyring that the program has at first; as a rule that of a daemon or of a caller' -r -f -a "none\t'The user-session keyring, which is none of its own'
other\t'Somebody else\'s: root\'s, of a daemon that systemd has started or of a caller'
user\t'The user\'s own, with the user keyring in it'"
complete -c pam_keyinit_check -l session -d 'Say in which keyring this process or that one runs, and what to do about it' -r
complete -c pam_keyinit_check -l root -d 'Look at the system in this folder: an image, or a package\'s tree' -r -F
complete -c pam_keyinit_check -l format -d 'For people or for programs' -r -f -a "text\t''
json\t''"
complete -c pam_keyinit_check -l explain -d 'Show the stacks as libpam runs them, and what happens to the session keyring at each step'
complete -c pam_keyinit_check -l list -d 'List the rules'
complete -c pam_keyinit_check -s h -l help -d 'Print help (see more with \'--help\')'
complete -c pam_keyinit_check -s V -l version -d 'Print version'
