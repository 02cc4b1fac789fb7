//! The lists of models that vendors give, over real HTTP.

use providers::{Api, ListForm, Priced, list_models};
use testkit::model::Reply;
use tokio_util::sync::CancellationToken;
use types::{Prices, ProviderErrorKind as Kind};

use crate::support::Bench;

async fn listed(
    api: Api,
    change: impl FnOnce(&mut providers::ProviderConfig),
) -> Result<Vec<providers::Listed>, types::ProviderError> {
    let bench = Bench::start(api, |_| Reply::say("")).await;
    bench.server.offer_models(["b-large", "a-small"]);
    let mut config = providers::ProviderConfig::new(api, bench.server.base_url());
    config.key = types::SecretName::new("lab-key").ok();
    change(&mut config);
    list_models(&config, &bench.vault, &CancellationToken::new()).await
}

#[tokio::test]
async fn vendors_are_asked_in_their_own_form() {
    for api in [Api::Anthropic, Api::OpenaiChat, Api::OpenaiResponses] {
        let models = listed(api, |config| {
            config.prices.insert("a-small".to_owned(), Prices::new(1.0, 2.0));
        })
        .await
        .unwrap();
        let ids: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
        assert_eq!(ids, ["a-small", "b-large"], "{api:?}");
        assert_eq!(models[0].facts.priced, Priced::Owner, "{api:?}: what the owner says counts before the vendor");
        assert_eq!(models[1].facts.prices, None, "{api:?}: what nobody says is not nothing");
    }
}

#[tokio::test]
async fn what_goes_wrong_has_its_kind() {
    let none = listed(Api::OpenaiChat, |config| config.lists = ListForm::None).await.unwrap_err();
    assert_eq!(none.kind, Kind::NotFound);
    let missing = |config: &mut providers::ProviderConfig| config.key = types::SecretName::new("not-there").ok();
    assert_eq!(listed(Api::Anthropic, missing).await.unwrap_err().kind, Kind::Auth);
    let nobody = |config: &mut providers::ProviderConfig| config.base_url = "http://127.0.0.1:1".to_owned();
    assert_eq!(listed(Api::OpenaiChat, nobody).await.unwrap_err().kind, Kind::Network);
}
